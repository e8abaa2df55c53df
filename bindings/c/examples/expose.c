/* Exposes a port of this machine: expose RELAY PORT, as in: expose wss://tunnel.example 3000 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hvym_tunnel.h"

static int failed(const char *what) {
    fprintf(stderr, "%s: %s (%s)\n", what, hvym_tunnel_error_message(), hvym_tunnel_error_code());
    return 1;
}

int main(int argc, char **argv) {
    char settings[1024];
    hvym_tunnel_identity *identity;
    hvym_tunnel_agent *agent;
    char *event, *url;

    if (argc != 3) {
        fprintf(stderr, "usage: expose RELAY PORT\n");
        return 2;
    }
    snprintf(settings, sizeof settings,
             "{\"link\": {\"relay\": \"%s\"}, \"services\": [{\"name\": \"web\", \"target\": \"%s\"}]}",
             argv[1], argv[2]);
    if (hvym_tunnel_identity_generate(&identity) != HVYM_TUNNEL_RESULT_OK) {
        return failed("identity");
    }
    if (hvym_tunnel_agent_start(identity, settings, &agent) != HVYM_TUNNEL_RESULT_OK) {
        hvym_tunnel_identity_free(identity);
        return failed("agent");
    }
    hvym_tunnel_identity_free(identity);

    while (hvym_tunnel_agent_next_event(agent, -1, &event) == HVYM_TUNNEL_RESULT_OK) {
        if (strstr(event, "\"event\":\"online\"") != NULL
            && hvym_tunnel_agent_url(agent, NULL, &url) == HVYM_TUNNEL_RESULT_OK) {
            printf("%s\n", url);
            hvym_tunnel_string_free(url);
        } else {
            printf("%s\n", event);
        }
        fflush(stdout);
        hvym_tunnel_string_free(event);
    }
    if (hvym_tunnel_agent_wait(agent, 0) == HVYM_TUNNEL_RESULT_FAILED) {
        failed("the agent has ended");
    }
    hvym_tunnel_agent_free(agent);
    return 0;
}
