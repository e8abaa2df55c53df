CREATE TABLE IF NOT EXISTS tunnels (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    domain VARCHAR(63) NOT NULL UNIQUE,
    token_hash VARCHAR(64) NOT NULL UNIQUE,
    name VARCHAR(100),
    description TEXT,
    mode VARCHAR(10) NOT NULL,
    enabled BIGINT NOT NULL,
    logs_requests BIGINT NOT NULL,
    owner VARCHAR(255),
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    last_connected_at BIGINT,
    total_requests BIGINT NOT NULL,
    bytes_in BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    INDEX ix_tunnels_owner (owner)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
CREATE TABLE IF NOT EXISTS tunnel_request_logs (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    timestamp BIGINT NOT NULL,
    tunnel_domain VARCHAR(63) NOT NULL,
    method VARCHAR(32) NOT NULL,
    path VARCHAR(1000) NOT NULL,
    request_headers MEDIUMTEXT,
    request_body MEDIUMTEXT,
    status_code BIGINT,
    response_headers MEDIUMTEXT,
    response_body MEDIUMTEXT,
    error TEXT,
    duration_ms BIGINT NOT NULL,
    INDEX ix_tunnel_request_logs_domain (tunnel_domain, id),
    INDEX ix_tunnel_request_logs_timestamp (timestamp)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
CREATE TABLE IF NOT EXISTS admin_audit_logs (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    action VARCHAR(32) NOT NULL,
    domain VARCHAR(255),
    detail TEXT,
    source_ip VARCHAR(64),
    INDEX ix_admin_audit_logs_created_at (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
CREATE TABLE IF NOT EXISTS registry_state (
    name VARCHAR(32) PRIMARY KEY,
    value BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
INSERT IGNORE INTO registry_state (name, value) VALUES ('revision', 0);
