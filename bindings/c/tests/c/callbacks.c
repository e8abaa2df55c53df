/* Events by callback: in order, to the end, and no more after the handle is freed, by whomever. */

#include "support.h"

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int online, ends, after_end;
    pthread_t thread;
    /* Freed by the callback itself, if set. */
    hvym_tunnel_agent *own;
};

static void see(const char *event, void *user_data) {
    struct seen *seen = user_data;
    hvym_tunnel_agent *freed = NULL;
    pthread_mutex_lock(&seen->lock);
    seen->after_end += seen->ends;
    seen->thread = pthread_self();
    if (event == NULL) {
        seen->ends++;
    } else if (is_event(event, "online")) {
        seen->online++;
        freed = seen->own;
    }
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
    hvym_tunnel_agent_free(freed);
}

static void await(struct seen *seen, const int *number) {
    pthread_mutex_lock(&seen->lock);
    while (*number == 0) {
        pthread_cond_wait(&seen->changed, &seen->lock);
    }
    pthread_mutex_unlock(&seen->lock);
}

static void prepare(struct seen *seen) {
    memset(seen, 0, sizeof *seen);
    pthread_mutex_init(&seen->lock, NULL);
    pthread_cond_init(&seen->changed, NULL);
}

int main(void) {
    unsigned short relay_port;
    char *agent_url;
    hvym_tunnel_relay *relay;
    hvym_tunnel_agent *agent;
    static struct seen by_main, by_callback;

    alarm(LIMIT);
    relay = start_relay(&relay_port, &agent_url);

    /* Freed here: the callback has had its end when the call returns. */
    prepare(&by_main);
    agent = start_agent(agent_url, 1);
    CHECK(hvym_tunnel_agent_on_event(agent, NULL, NULL) == HVYM_TUNNEL_RESULT_INVALID);
    OK(hvym_tunnel_agent_on_event(agent, see, &by_main));
    CHECK(hvym_tunnel_agent_on_event(agent, see, &by_main) == HVYM_TUNNEL_RESULT_INVALID);
    await(&by_main, &by_main.online);
    CHECK(!pthread_equal(by_main.thread, pthread_self()));
    hvym_tunnel_agent_free(agent);
    CHECK(by_main.online == 1 && by_main.ends == 1 && by_main.after_end == 0);

    /* Freed by its callback, which is called once more, and which nobody waits for but who wants to. */
    prepare(&by_callback);
    agent = start_agent(agent_url, 1);
    by_callback.own = agent;
    OK(hvym_tunnel_agent_on_event(agent, see, &by_callback));
    await(&by_callback, &by_callback.ends);
    CHECK(by_callback.online == 1 && by_callback.ends == 1 && by_callback.after_end == 0);

    hvym_tunnel_relay_free(relay);
    hvym_tunnel_string_free(agent_url);
    return 0;
}
