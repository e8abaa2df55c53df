/*
 * The tunnel for C: agents, relays and identities. Made of the sources by cbindgen; do not edit.
 *
 * A handle may be used by several threads at once. It is freed once, when no other call has it; using it after that, or freeing it
 * twice, is undefined. A place for a result is NULL after a call that did not fill it. Texts are UTF-8.
 */

#ifndef HVYM_TUNNEL_H
#define HVYM_TUNNEL_H

#include <stdbool.h>

/**
 * What a call returns. What is negative is an error: hvym_tunnel_error_code() and hvym_tunnel_error_message() say more about
 * the last one of this thread.
 */
typedef enum {
    /**
     * Done.
     */
    HVYM_TUNNEL_RESULT_OK = 0,
    /**
     * Not yet: the time to wait is over, or the relay has not taken the service.
     */
    HVYM_TUNNEL_RESULT_NOT_YET = 1,
    /**
     * There will be no more events.
     */
    HVYM_TUNNEL_RESULT_ENDED = 2,
    /**
     * An argument is wrong: NULL, not UTF-8, JSON that is not understood.
     */
    HVYM_TUNNEL_RESULT_INVALID = -1,
    /**
     * It could not be done.
     */
    HVYM_TUNNEL_RESULT_FAILED = -2,
    /**
     * A fault of this library. The handle must be freed and not be used for anything else.
     */
    HVYM_TUNNEL_RESULT_PANICKED = -3,
} hvym_tunnel_result;

/**
 * A running agent.
 */
typedef struct hvym_tunnel_agent hvym_tunnel_agent;

/**
 * A Stellar key pair: its address is public, its secret can only sign.
 */
typedef struct hvym_tunnel_identity hvym_tunnel_identity;

/**
 * A running relay.
 */
typedef struct hvym_tunnel_relay hvym_tunnel_relay;

/**
 * Called with each event, a JSON object with its kind in the member "event", and for the last time with NULL. The text is gone
 * when the call returns. It must not throw, nor leave by longjmp.
 */
typedef void (*hvym_tunnel_event_callback)(const char *event, void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library. Not to be freed.
 */
const char *hvym_tunnel_version(void);

/**
 * The last error of this thread as a word that programs may rely on, as "settings" or "unreachable"; empty before the first.
 * Good until the next call of this thread, and not to be freed.
 */
const char *hvym_tunnel_error_code(void);

/**
 * The last error of this thread as a sentence for people, which holds no secret; empty before the first. Good until the next
 * call of this thread, and not to be freed.
 */
const char *hvym_tunnel_error_message(void);

/**
 * Frees a text that a call put into a place for a result. NULL is nothing.
 */
void hvym_tunnel_string_free(char *string);

/**
 * A new key pair from the system's randomness.
 */
hvym_tunnel_result hvym_tunnel_identity_generate(hvym_tunnel_identity **identity);

/**
 * The key pair of a secret seed, "S...".
 */
hvym_tunnel_result hvym_tunnel_identity_from_secret(const char *secret, hvym_tunnel_identity **identity);

/**
 * The key pair in a file that only its owner may read.
 */
hvym_tunnel_result hvym_tunnel_identity_load(const char *path, hvym_tunnel_identity **identity);

/**
 * Writes the secret to a file that only its owner may read; with replace, in place of the one that is there.
 */
hvym_tunnel_result hvym_tunnel_identity_save(const hvym_tunnel_identity *identity,
                                             const char *path,
                                             bool replace);

/**
 * The public half, "G...", to be freed by hvym_tunnel_string_free.
 */
hvym_tunnel_result hvym_tunnel_identity_address(const hvym_tunnel_identity *identity, char **address);

/**
 * Frees a key pair. Agents and relays that were started with it go on. NULL is nothing.
 */
void hvym_tunnel_identity_free(hvym_tunnel_identity *identity);

/**
 * Starts an agent, which dials at once and whenever its link is lost.
 *
 * The settings are a JSON object: "link" (of which "relay" is needed), "services" (each with "name" and "target"), and where wanted
 * "names" and "login" ("system", "token", "force"). The members of each group are those of the Rust library.
 */
hvym_tunnel_result hvym_tunnel_agent_start(const hvym_tunnel_identity *identity,
                                           const char *settings,
                                           hvym_tunnel_agent **agent);

/**
 * Where a service is reached, to be freed by hvym_tunnel_string_free; the first service if its name is NULL.
 * HVYM_TUNNEL_RESULT_NOT_YET before the relay has taken it.
 */
hvym_tunnel_result hvym_tunnel_agent_url(const hvym_tunnel_agent *agent, const char *service, char **url);

/**
 * How things stand, as a JSON object, to be freed by hvym_tunnel_string_free.
 */
hvym_tunnel_result hvym_tunnel_agent_status(const hvym_tunnel_agent *agent, char **status);

/**
 * Offers one more service, a JSON object with "name" and "target"; with replace, in place of the one of its name. The event
 * "service_bound" says where it is reached.
 */
hvym_tunnel_result hvym_tunnel_agent_bind(const hvym_tunnel_agent *agent,
                                          const char *service,
                                          bool replace);

/**
 * Withdraws a service; what is under way finishes.
 */
hvym_tunnel_result hvym_tunnel_agent_unbind(const hvym_tunnel_agent *agent, const char *name);

/**
 * The next event, to be freed by hvym_tunnel_string_free: waits for at most this many seconds, not at all with 0, and as long as
 * it takes if they are negative. Each event goes to one reader, and to no other. HVYM_TUNNEL_RESULT_ENDED after the last.
 */
hvym_tunnel_result hvym_tunnel_agent_next_event(const hvym_tunnel_agent *agent,
                                                double seconds,
                                                char **event);

/**
 * A descriptor for poll and its kin: readable while there is an event, or none any more. Only to be waited for, never to be
 * read or closed; good until the agent is freed. -1 on systems without, and for NULL.
 */
int hvym_tunnel_agent_event_fd(const hvym_tunnel_agent *agent);

/**
 * Hands each event to a callback, in order, on a thread that calls nothing else. After the last event, or when the agent is freed, it
 * is called with NULL and then no more. The callback may free the agent.
 */
hvym_tunnel_result hvym_tunnel_agent_on_event(const hvym_tunnel_agent *agent,
                                              hvym_tunnel_event_callback callback,
                                              void *user_data);

/**
 * Takes nothing new, and ends when no request runs any more, at the latest after this many seconds. Does not wait.
 */
hvym_tunnel_result hvym_tunnel_agent_drain(const hvym_tunnel_agent *agent,
                                           double seconds);

/**
 * Ends at once; requests are cut off. Does not wait.
 */
hvym_tunnel_result hvym_tunnel_agent_stop(const hvym_tunnel_agent *agent);

/**
 * Waits for the end, as hvym_tunnel_agent_next_event waits. HVYM_TUNNEL_RESULT_FAILED if it was not asked to end: the error says
 * why it did.
 */
hvym_tunnel_result hvym_tunnel_agent_wait(const hvym_tunnel_agent *agent,
                                          double seconds);

/**
 * Frees an agent, which ends at once: drain it and wait before, for requests to finish. Waits for its callback, unless the callback
 * calls it. NULL is nothing.
 */
void hvym_tunnel_agent_free(hvym_tunnel_agent *agent);

/**
 * Starts a relay, which listens at once. The options are a JSON object of the groups of the Rust library: "{}" is a relay for this
 * machine, {"ingress": {"listen": "127.0.0.1:0"}} one at a free port.
 */
hvym_tunnel_result hvym_tunnel_relay_start(const hvym_tunnel_identity *identity,
                                           const char *options,
                                           hvym_tunnel_relay **relay);

/**
 * Where agents dial, to be freed by hvym_tunnel_string_free.
 */
hvym_tunnel_result hvym_tunnel_relay_agent_url(const hvym_tunnel_relay *relay, char **url);

/**
 * Where it is reached, and its counters, as a JSON object, to be freed by hvym_tunnel_string_free.
 */
hvym_tunnel_result hvym_tunnel_relay_status(const hvym_tunnel_relay *relay, char **status);

/**
 * Takes over other options while it runs, as far as they can change then.
 */
hvym_tunnel_result hvym_tunnel_relay_apply(const hvym_tunnel_relay *relay, const char *options);

/**
 * As hvym_tunnel_agent_next_event.
 */
hvym_tunnel_result hvym_tunnel_relay_next_event(const hvym_tunnel_relay *relay, double seconds, char **event);

/**
 * As hvym_tunnel_agent_event_fd.
 */
int hvym_tunnel_relay_event_fd(const hvym_tunnel_relay *relay);

/**
 * As hvym_tunnel_agent_on_event.
 */
hvym_tunnel_result hvym_tunnel_relay_on_event(const hvym_tunnel_relay *relay,
                                              hvym_tunnel_event_callback callback,
                                              void *user_data);

/**
 * As hvym_tunnel_agent_drain; agents are told to connect elsewhere.
 */
hvym_tunnel_result hvym_tunnel_relay_drain(const hvym_tunnel_relay *relay, double seconds);

/**
 * As hvym_tunnel_agent_stop.
 */
hvym_tunnel_result hvym_tunnel_relay_stop(const hvym_tunnel_relay *relay);

/**
 * Waits for the end, as hvym_tunnel_agent_next_event waits.
 */
hvym_tunnel_result hvym_tunnel_relay_wait(const hvym_tunnel_relay *relay, double seconds);

/**
 * As hvym_tunnel_agent_free.
 */
void hvym_tunnel_relay_free(hvym_tunnel_relay *relay);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HVYM_TUNNEL_H */
