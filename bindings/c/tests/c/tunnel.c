/* A relay and an agent in one process: visited, changed while they run, drained. */

#include <poll.h>

#include "support.h"

static bool is_readable(int fd, int milliseconds) {
    struct pollfd wanted = {0};
    wanted.fd = fd;
    wanted.events = POLLIN;
    return poll(&wanted, 1, milliseconds) == 1;
}

/* The descriptor is readable exactly as long as there is an event, or none any more. */
static void events_by_descriptor(const hvym_tunnel_agent *agent) {
    int fd = hvym_tunnel_agent_event_fd(agent), seen = 0;
    char *event;
    CHECK(fd >= 0);
    while (seen == 0) {
        hvym_tunnel_result result;
        CHECK(is_readable(fd, LIMIT * 1000));
        while ((result = hvym_tunnel_agent_next_event(agent, 0, &event)) == HVYM_TUNNEL_RESULT_OK) {
            seen += is_event(event, "online");
            hvym_tunnel_string_free(event);
        }
        CHECK(result == HVYM_TUNNEL_RESULT_NOT_YET && event == NULL);
    }
}

static void services_come_and_go(const hvym_tunnel_agent *agent, unsigned short relay, unsigned short service) {
    char json[128], *event, *url;
    snprintf(json, sizeof json, "{\"name\": \"api\", \"target\": \"%d\"}", service);
    OK(hvym_tunnel_agent_bind(agent, json, false));
    CHECK(hvym_tunnel_agent_bind(agent, json, false) == HVYM_TUNNEL_RESULT_FAILED);
    hvym_tunnel_string_free(await_event(agent, "service_bound"));
    OK(hvym_tunnel_agent_url(agent, "api", &url));
    OK(hvym_tunnel_agent_bind(agent, json, true));
    CHECK(strstr(visit(relay, url), "hello from c") != NULL);
    event = await_event(agent, "request");
    CHECK(strstr(event, "\"service\":\"api\"") != NULL && strstr(event, "\"status\":200") != NULL);
    CHECK(strstr(event, "secret") == NULL);
    hvym_tunnel_string_free(event);
    OK(hvym_tunnel_agent_unbind(agent, "api"));
    CHECK(strstr(visit(relay, url), "hello from c") == NULL);
    hvym_tunnel_string_free(url);
    CHECK(hvym_tunnel_agent_url(agent, "api", &url) == HVYM_TUNNEL_RESULT_FAILED && url == NULL);
    CHECK(strcmp(hvym_tunnel_error_code(), "unknown_service") == 0);
}

int main(void) {
    unsigned short relay_port, service_port;
    char *agent_url, *url, *text;
    int listener = listening(&service_port), fd;
    pthread_t server;
    hvym_tunnel_relay *relay;
    hvym_tunnel_agent *agent;

    alarm(LIMIT);
    CHECK(pthread_create(&server, NULL, serve, &listener) == 0);
    relay = start_relay(&relay_port, &agent_url);
    agent = start_agent(agent_url, service_port);

    events_by_descriptor(agent);
    OK(hvym_tunnel_agent_url(agent, NULL, &url));
    CHECK(strstr(visit(relay_port, url), "hello from c") != NULL);
    services_come_and_go(agent, relay_port, service_port);

    OK(hvym_tunnel_agent_status(agent, &text));
    CHECK(strstr(text, "\"link\":\"connected\"") != NULL && strstr(text, url) != NULL);
    hvym_tunnel_string_free(text);
    OK(hvym_tunnel_relay_status(relay, &text));
    CHECK(strstr(text, "\"sessions\":1") != NULL && strstr(text, agent_url) != NULL);
    hvym_tunnel_string_free(text);
    OK(hvym_tunnel_relay_next_event(relay, LIMIT, &text));
    CHECK(is_event(text, "agent_joined"));
    hvym_tunnel_string_free(text);
    CHECK(hvym_tunnel_agent_wait(agent, 0) == HVYM_TUNNEL_RESULT_NOT_YET);

    OK(hvym_tunnel_agent_drain(agent, 10));
    OK(hvym_tunnel_agent_wait(agent, LIMIT));
    fd = hvym_tunnel_agent_event_fd(agent);
    while (hvym_tunnel_agent_next_event(agent, -1, &text) == HVYM_TUNNEL_RESULT_OK) {
        hvym_tunnel_string_free(text);
    }
    CHECK(text == NULL && is_readable(fd, 0));
    CHECK(hvym_tunnel_agent_next_event(agent, -1, &text) == HVYM_TUNNEL_RESULT_ENDED);
    hvym_tunnel_agent_free(agent);

    OK(hvym_tunnel_relay_apply(relay, "{\"ingress\": {\"listen\": \"127.0.0.1:0\"}}"));
    OK(hvym_tunnel_relay_stop(relay));
    OK(hvym_tunnel_relay_wait(relay, LIMIT));
    hvym_tunnel_relay_free(relay);
    hvym_tunnel_string_free(url);
    hvym_tunnel_string_free(agent_url);
    shutdown(listener, SHUT_RDWR);
    CHECK(pthread_join(server, NULL) == 0);
    close(listener);
    return 0;
}
