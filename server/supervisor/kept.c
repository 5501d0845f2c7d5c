#include "supervisor/supervisor.h"

#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void forget(struct kept_feed *f)
{
    if (!f->used)
        return;
    for (size_t i = 0; i < f->n_fds; i++)
        close(f->fds[i]);
    f->used = false;
}

static struct kept_feed *place_for(struct supervisor *s, uint32_t id)
{
    struct kept_feed *vacant = NULL;
    for (size_t i = 0; i < KEPT_FEEDS_MAX; i++) {
        if (s->feeds[i].used && s->feeds[i].id == id)
            return &s->feeds[i];
        if (!s->feeds[i].used && !vacant)
            vacant = &s->feeds[i];
    }
    return vacant;
}

static void send_feed(struct child *to, const struct kept_feed *f, uint32_t kind)
{
    struct link_message m = {.kind = kind, .a = f->id, .b = f->worker, .c = f->mirror};
    snprintf(m.text, sizeof m.text, "%s", f->briefing);
    child_send(to, &m, f->fds, f->n_fds);
}

void kept_add(struct supervisor *s, const struct link_message *m, const int *fds, size_t n_fds)
{
    struct kept_feed *f = place_for(s, m->a);
    if (n_fds < 2 || n_fds > 3 || !f) {
        log_error("kept", "feed=%u not kept: %s", m->a, f ? "two or three descriptors are needed" : "too many feeds");
        return;
    }
    forget(f);
    *f = (struct kept_feed){.used = true, .id = m->a, .worker = m->b, .mirror = m->c};
    snprintf(f->briefing, sizeof f->briefing, "%s", m->text);
    for (size_t i = 0; i < n_fds; i++)
        f->fds[f->n_fds++] = fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
    struct child *recorder = children_find(&s->children, CHILD_RECORDER, 0, f->briefing);
    if (recorder && !f->mirror)
        send_feed(recorder, f, LINK_FEED);
}

void kept_drop(struct supervisor *s, const char *briefing)
{
    for (size_t i = 0; i < KEPT_FEEDS_MAX; i++)
        if (s->feeds[i].used && !s->feeds[i].mirror && strcmp(s->feeds[i].briefing, briefing) == 0)
            forget(&s->feeds[i]);
}

void kept_drop_one(struct supervisor *s, uint32_t id)
{
    for (size_t i = 0; i < KEPT_FEEDS_MAX; i++)
        if (s->feeds[i].used && s->feeds[i].id == id)
            forget(&s->feeds[i]);
}

bool kept_break(struct supervisor *s, uint32_t id, const char *briefing, uint32_t *ret_worker)
{
    for (size_t i = 0; i < KEPT_FEEDS_MAX; i++) {
        struct kept_feed *f = &s->feeds[i];
        if (!f->used || f->id != id || f->mirror || f->broken || strcmp(f->briefing, briefing) != 0)
            continue;
        f->broken = true;
        *ret_worker = f->worker;
        return true;
    }
    return false;
}

void kept_send_control(struct supervisor *s, struct child *control)
{
    for (size_t i = 0; i < KEPT_FEEDS_MAX; i++)
        if (s->feeds[i].used && !s->feeds[i].broken) /* its recorder may still want what is before the break */
            send_feed(control, &s->feeds[i], LINK_KEPT_FEED);
    unsigned workers = 0;
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        const struct child *child = &s->children.all[i];
        workers += child->used && child->kind == CHILD_WORKER && upgrade_shows(s, child);
    }
    child_send(control, &(struct link_message){.kind = LINK_KEPT_END, .a = workers}, NULL, 0);
}

void kept_send_recorder(struct supervisor *s, struct child *recorder)
{
    for (size_t i = 0; i < KEPT_FEEDS_MAX; i++)
        if (s->feeds[i].used && !s->feeds[i].mirror && strcmp(s->feeds[i].briefing, recorder->job) == 0)
            send_feed(recorder, &s->feeds[i], LINK_FEED);
}
