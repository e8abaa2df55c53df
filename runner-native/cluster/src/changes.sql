-- What a relay is told: all relays, and what has changed since the epoch that it has seen, or everything.
WITH scope AS (
    SELECT CASE WHEN $2 OR $1 < floor THEN 0 ELSE $1 END AS since FROM hvym_tunnel_cluster
)
SELECT 'scope' AS kind, '' AS name, NULL AS relay, scope.since AS epoch, NULL AS record FROM scope
UNION ALL
SELECT 'relay', r.relay, NULL, NULL, r.about FROM hvym_tunnel_cluster_relays r
UNION ALL
SELECT 'service', s.service, s.relay, s.epoch, s.record FROM hvym_tunnel_cluster_services s, scope
WHERE s.epoch > scope.since AND (scope.since > 0 OR s.relay IS NOT NULL)
