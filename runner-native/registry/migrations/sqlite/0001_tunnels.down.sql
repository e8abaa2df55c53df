DROP TABLE registry_state;
DROP TABLE admin_audit_logs;
DROP TABLE tunnel_request_logs;
DROP TABLE tunnels;
