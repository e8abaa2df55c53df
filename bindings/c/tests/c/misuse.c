/* What a caller may do wrong without harm: NULL, texts that are no settings, secrets that are none. */

#include <math.h>

#include "support.h"

#define INVALID(call) CHECK((call) == HVYM_TUNNEL_RESULT_INVALID && strcmp(hvym_tunnel_error_code(), "invalid") == 0)
#define SAYS(words) CHECK(strstr(hvym_tunnel_error_message(), words) != NULL)

static void *first_error_of_a_thread(void *unused) {
    (void)unused;
    CHECK(strcmp(hvym_tunnel_error_code(), "") == 0 && strcmp(hvym_tunnel_error_message(), "") == 0);
    return NULL;
}

static void nothing_in_place_of_something(const hvym_tunnel_identity *identity) {
    hvym_tunnel_identity *made;
    hvym_tunnel_agent *agent;
    hvym_tunnel_relay *relay;
    char *text;
    INVALID(hvym_tunnel_identity_generate(NULL));
    SAYS("NULL");
    INVALID(hvym_tunnel_identity_from_secret(NULL, &made));
    INVALID(hvym_tunnel_identity_load(NULL, &made));
    INVALID(hvym_tunnel_identity_save(NULL, "x", false));
    INVALID(hvym_tunnel_identity_save(identity, NULL, false));
    INVALID(hvym_tunnel_identity_address(NULL, &text));
    INVALID(hvym_tunnel_identity_address(identity, NULL));
    INVALID(hvym_tunnel_agent_start(NULL, "{}", &agent));
    INVALID(hvym_tunnel_agent_start(identity, NULL, &agent));
    CHECK(agent == NULL);
    INVALID(hvym_tunnel_agent_start(identity, "{}", NULL));
    INVALID(hvym_tunnel_agent_url(NULL, NULL, &text));
    INVALID(hvym_tunnel_agent_status(NULL, &text));
    INVALID(hvym_tunnel_agent_bind(NULL, "{}", false));
    INVALID(hvym_tunnel_agent_unbind(NULL, "web"));
    INVALID(hvym_tunnel_agent_next_event(NULL, 0, &text));
    CHECK(text == NULL && hvym_tunnel_agent_event_fd(NULL) == -1);
    INVALID(hvym_tunnel_agent_on_event(NULL, NULL, NULL));
    INVALID(hvym_tunnel_agent_drain(NULL, 0));
    INVALID(hvym_tunnel_agent_stop(NULL));
    INVALID(hvym_tunnel_agent_wait(NULL, 0));
    INVALID(hvym_tunnel_relay_start(NULL, "{}", &relay));
    INVALID(hvym_tunnel_relay_agent_url(NULL, &text));
    INVALID(hvym_tunnel_relay_status(NULL, &text));
    INVALID(hvym_tunnel_relay_apply(NULL, "{}"));
    INVALID(hvym_tunnel_relay_next_event(NULL, 0, &text));
    CHECK(hvym_tunnel_relay_event_fd(NULL) == -1);
    INVALID(hvym_tunnel_relay_on_event(NULL, NULL, NULL));
    INVALID(hvym_tunnel_relay_drain(NULL, 0));
    INVALID(hvym_tunnel_relay_stop(NULL));
    INVALID(hvym_tunnel_relay_wait(NULL, 0));
    hvym_tunnel_string_free(NULL);
    hvym_tunnel_identity_free(NULL);
    hvym_tunnel_agent_free(NULL);
    hvym_tunnel_relay_free(NULL);
}

static void texts_that_are_wrong(const hvym_tunnel_identity *identity) {
    hvym_tunnel_identity *made;
    hvym_tunnel_agent *agent;
    hvym_tunnel_relay *relay;
    INVALID(hvym_tunnel_agent_start(identity, "", &agent));
    INVALID(hvym_tunnel_agent_start(identity, "[]", &agent));
    INVALID(hvym_tunnel_agent_start(identity, "{\"link\": {}, \"services\": [], \"reley\": 1}", &agent));
    SAYS("reley");
    INVALID(hvym_tunnel_agent_start(identity, "\xff", &agent));
    SAYS("UTF-8");
    CHECK(hvym_tunnel_agent_start(identity, "{\"link\": {}, \"services\": []}", &agent)
          == HVYM_TUNNEL_RESULT_FAILED);
    CHECK(agent == NULL && strcmp(hvym_tunnel_error_code(), "settings") == 0);
    INVALID(hvym_tunnel_relay_start(identity, "{\"ingress\": {\"listen\": \"nowhere\"}}", &relay));
    CHECK(relay == NULL);
    CHECK(hvym_tunnel_identity_from_secret("SECRETTHATISNONE", &made) == HVYM_TUNNEL_RESULT_FAILED);
    CHECK(strcmp(hvym_tunnel_error_code(), "not_a_secret") == 0);
    CHECK(strstr(hvym_tunnel_error_message(), "SECRETTHATISNONE") == NULL);
    CHECK(hvym_tunnel_identity_load("/nowhere/identity.key", &made) == HVYM_TUNNEL_RESULT_FAILED);
    CHECK(made == NULL && strcmp(hvym_tunnel_error_code(), "identity_not_found") == 0);
}

static void a_port_that_is_taken(const hvym_tunnel_identity *identity, unsigned short port) {
    hvym_tunnel_relay *relay;
    char options[64];
    snprintf(options, sizeof options, "{\"ingress\": {\"listen\": \"127.0.0.1:%d\"}}", port);
    CHECK(hvym_tunnel_relay_start(identity, options, &relay) == HVYM_TUNNEL_RESULT_FAILED);
    CHECK(relay == NULL && strcmp(hvym_tunnel_error_code(), "listen") == 0);
}

static void times_that_are_none(const char *agent_url) {
    hvym_tunnel_agent *agent = start_agent(agent_url, 1);
    char *event;
    INVALID(hvym_tunnel_agent_drain(agent, -1));
    INVALID(hvym_tunnel_agent_drain(agent, (double)NAN));
    INVALID(hvym_tunnel_agent_wait(agent, (double)INFINITY));
    INVALID(hvym_tunnel_agent_bind(agent, "{\"name\": \"a b\", \"target\": \"1\"}", false));
    INVALID(hvym_tunnel_agent_unbind(agent, "a b"));
    CHECK(hvym_tunnel_agent_unbind(agent, "api") == HVYM_TUNNEL_RESULT_FAILED);
    OK(hvym_tunnel_agent_stop(agent));
    OK(hvym_tunnel_agent_stop(agent));
    OK(hvym_tunnel_agent_wait(agent, -1));
    CHECK(hvym_tunnel_agent_bind(agent, "{\"name\": \"api\", \"target\": \"1\"}", false)
          == HVYM_TUNNEL_RESULT_FAILED);
    CHECK(strcmp(hvym_tunnel_error_code(), "closed") == 0);
    /* Events that nobody took go with the agent. */
    CHECK(hvym_tunnel_agent_next_event(agent, 0, &event) != HVYM_TUNNEL_RESULT_INVALID);
    hvym_tunnel_string_free(event);
    hvym_tunnel_agent_free(agent);
}

int main(void) {
    unsigned short port;
    pthread_t thread;
    char *agent_url, *address;
    hvym_tunnel_identity *identity;
    hvym_tunnel_relay *relay;

    alarm(LIMIT);
    CHECK(strchr(hvym_tunnel_version(), '.') != NULL);
    CHECK(strcmp(hvym_tunnel_error_code(), "") == 0);
    OK(hvym_tunnel_identity_generate(&identity));
    OK(hvym_tunnel_identity_address(identity, &address));
    CHECK(address[0] == 'G' && strlen(address) == 56);
    hvym_tunnel_string_free(address);
    nothing_in_place_of_something(identity);
    texts_that_are_wrong(identity);
    CHECK(pthread_create(&thread, NULL, first_error_of_a_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    relay = start_relay(&port, &agent_url);
    a_port_that_is_taken(identity, port);
    times_that_are_none(agent_url);
    hvym_tunnel_identity_free(identity);
    hvym_tunnel_relay_free(relay);
    hvym_tunnel_string_free(agent_url);
    return 0;
}
