/* What the test programs share: a check that says where it failed, a small HTTP server and a visitor. */

#ifndef SUPPORT_H
#define SUPPORT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hvym_tunnel.h"

/* Seconds after which a program that hangs ends itself. */
#define LIMIT 120

/* Not every program uses all of it. */
#define SHARED static __attribute__((unused))

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n  last error: %s: %s\n", __FILE__, __LINE__, #condition,             \
                    hvym_tunnel_error_code(), hvym_tunnel_error_message());                                  \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#define OK(call) CHECK((call) == HVYM_TUNNEL_RESULT_OK)

SHARED int listening(unsigned short *port) {
    struct sockaddr_in at = {0};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(listen(listener, 16) == 0 && getsockname(listener, (struct sockaddr *)&at, &length) == 0);
    *port = ntohs(at.sin_port);
    return listener;
}

/* Answers each connection with one response, until its listener is shut down. */
SHARED void *serve(void *argument) {
    static const char response[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nhello from c";
    int listener = *(int *)argument, connection;
    while ((connection = accept(listener, NULL, NULL)) >= 0) {
        char head[4096];
        size_t held = 0;
        ssize_t got;
        while (held < sizeof head - 1 && (got = read(connection, head + held, sizeof head - 1 - held)) > 0) {
            held += (size_t)got;
            head[held] = 0;
            if (strstr(head, "\r\n\r\n") != NULL) {
                /* Without the NUL. */
                if (write(connection, response, sizeof response - 1) < 0) {
                    perror("write");
                }
                break;
            }
        }
        close(connection);
    }
    return NULL;
}

/* The port of a relay that listens on this machine, from the URL that agents dial. */
SHARED unsigned short port_of(const char *url) {
    const char *colon = strrchr(url, ':');
    CHECK(colon != NULL);
    return (unsigned short)atoi(colon + 1);
}

/* What a visitor of this URL gets, in a static buffer. */
SHARED const char *visit(unsigned short relay, const char *url) {
    static char response[65536];
    char host[256], request[512];
    struct sockaddr_in at = {0};
    size_t held = 0;
    ssize_t got;
    int visitor = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(sscanf(url, "http://%255[^/]", host) == 1);
    at.sin_family = AF_INET;
    at.sin_port = htons(relay);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(visitor >= 0 && connect(visitor, (struct sockaddr *)&at, sizeof at) == 0);
    snprintf(request, sizeof request, "GET /a?secret HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
    CHECK(write(visitor, request, strlen(request)) == (ssize_t)strlen(request));
    while (held < sizeof response - 1
           && (got = read(visitor, response + held, sizeof response - 1 - held)) > 0) {
        held += (size_t)got;
    }
    response[held] = 0;
    close(visitor);
    return response;
}

SHARED hvym_tunnel_relay *start_relay(unsigned short *port, char **agent_url) {
    hvym_tunnel_identity *identity;
    hvym_tunnel_relay *relay;
    OK(hvym_tunnel_identity_generate(&identity));
    OK(hvym_tunnel_relay_start(identity, "{\"ingress\": {\"listen\": \"127.0.0.1:0\"}}", &relay));
    OK(hvym_tunnel_relay_agent_url(relay, agent_url));
    *port = port_of(*agent_url);
    hvym_tunnel_identity_free(identity);
    return relay;
}

SHARED hvym_tunnel_agent *start_agent(const char *relay, unsigned short port) {
    char settings[512];
    hvym_tunnel_identity *identity;
    hvym_tunnel_agent *agent;
    snprintf(settings, sizeof settings,
             "{\"link\": {\"relay\": \"%s\"}, \"services\": [{\"name\": \"web\", \"target\": \"%d\"}]}", relay,
             port);
    OK(hvym_tunnel_identity_generate(&identity));
    OK(hvym_tunnel_agent_start(identity, settings, &agent));
    hvym_tunnel_identity_free(identity);
    return agent;
}

/* Whether this is an event of this kind. */
SHARED bool is_event(const char *event, const char *kind) {
    char member[64];
    snprintf(member, sizeof member, "\"event\":\"%s\"", kind);
    return strstr(event, member) != NULL;
}

/* The next event of this kind, to be freed. */
SHARED char *await_event(const hvym_tunnel_agent *agent, const char *kind) {
    char *event;
    for (;;) {
        OK(hvym_tunnel_agent_next_event(agent, LIMIT, &event));
        if (is_event(event, kind)) {
            return event;
        }
        hvym_tunnel_string_free(event);
    }
}

#endif
