DROP TABLE IF EXISTS registry_state;
DROP TABLE IF EXISTS admin_audit_logs;
DROP TABLE IF EXISTS tunnel_request_logs;
DROP TABLE IF EXISTS tunnels;
