CREATE TABLE tunnels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL UNIQUE,
    token_hash TEXT NOT NULL UNIQUE,
    name TEXT,
    description TEXT,
    mode TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    logs_requests INTEGER NOT NULL,
    owner TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER,
    last_connected_at INTEGER,
    total_requests INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL
);
CREATE INDEX ix_tunnels_owner ON tunnels (owner);
CREATE TABLE tunnel_request_logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp INTEGER NOT NULL,
    tunnel_domain TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    request_headers TEXT,
    request_body TEXT,
    status_code INTEGER,
    response_headers TEXT,
    response_body TEXT,
    error TEXT,
    duration_ms INTEGER NOT NULL
);
CREATE INDEX ix_tunnel_request_logs_domain ON tunnel_request_logs (tunnel_domain, id);
CREATE INDEX ix_tunnel_request_logs_timestamp ON tunnel_request_logs (timestamp);
CREATE TABLE admin_audit_logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at INTEGER NOT NULL,
    action TEXT NOT NULL,
    domain TEXT,
    detail TEXT,
    source_ip TEXT
);
CREATE INDEX ix_admin_audit_logs_created_at ON admin_audit_logs (created_at);
CREATE TABLE registry_state (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
);
INSERT INTO registry_state (name, value) VALUES ('revision', 0);
