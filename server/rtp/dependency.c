#include "rtp/dependency.h"

#include "base/err.h"

enum { MANDATORY_BYTES = 3, NEXT_TEMPORAL = 1, NEXT_SPATIAL = 2, NO_MORE = 3 };

struct bits {
    const uint8_t *bytes;
    size_t at, end; /* bits */
    bool failed;
};

/* f(n), n ≤ 32; 0 beyond the end, for good. */
static uint32_t take(struct bits *b, unsigned n)
{
    uint32_t value = 0;
    if (b->failed || b->end - b->at < n) {
        b->failed = true;
        return 0;
    }
    for (; n > 0; n--, b->at++)
        value = value << 1 | (b->bytes[b->at / 8] >> (7 - b->at % 8) & 1u);
    return value;
}

/* ns(n): a number below n. */
static uint32_t take_below(struct bits *b, uint32_t n)
{
    unsigned width = 0;
    while (n >> width)
        width++;
    uint32_t few = (1u << width) - n, value = take(b, width - 1);
    return value < few ? value : (value << 1) - few + take(b, 1);
}

static uint64_t take_roles(struct bits *b, unsigned targets)
{
    uint64_t roles = 0;
    for (unsigned i = 0; i < targets; i++)
        roles |= (uint64_t)take(b, 2) << (2 * i);
    return roles;
}

static int read_layers(struct bits *b, struct dependency_structure *s)
{
    uint8_t sid = 0, tid = 0;
    uint32_t next;
    do {
        if (s->n_templates == DEPENDENCY_TEMPLATES_MAX || sid == DEPENDENCY_SIDS_MAX || tid == DEPENDENCY_TIDS_MAX)
            return ERR_MALFORMED;
        s->templates[s->n_templates++] = (struct dependency_template){.sid = sid, .tid = tid};
        next = take(b, 2);
        sid += next == NEXT_SPATIAL;
        tid = next == NEXT_SPATIAL ? 0 : (uint8_t)(tid + (next == NEXT_TEMPORAL));
    } while (next != NO_MORE && !b->failed);
    s->n_sids = (uint8_t)(sid + 1);
    return 0;
}

static void skip_differences(struct bits *b)
{
    while (take(b, 1))
        take(b, 4);
}

static void skip_chains(struct bits *b, struct dependency_structure *s)
{
    s->n_chains = (uint8_t)take_below(b, s->n_targets + 1u);
    if (!s->n_chains)
        return;
    for (unsigned i = 0; i < s->n_targets; i++)
        take_below(b, s->n_chains);
    for (unsigned i = 0; i < (unsigned)s->n_templates * s->n_chains; i++)
        take(b, 4);
}

/* A target's layers are those of the templates that are of it. */
static void find_targets(struct dependency_structure *s)
{
    for (unsigned i = 0; i < s->n_targets; i++)
        for (unsigned t = 0; t < s->n_templates; t++) {
            const struct dependency_template *of = &s->templates[t];
            if (dependency_role(of->roles, i) == DEPENDENCY_ABSENT)
                continue;
            s->targets[i].sid = of->sid > s->targets[i].sid ? of->sid : s->targets[i].sid;
            s->targets[i].tid = of->tid > s->targets[i].tid ? of->tid : s->targets[i].tid;
        }
}

static int read_structure(struct bits *b, struct dependency_structure *s)
{
    *s = (struct dependency_structure){.first_id = (uint8_t)take(b, 6)};
    s->n_targets = (uint8_t)(take(b, 5) + 1);
    int err = read_layers(b, s);
    if (err)
        return err;
    for (unsigned t = 0; t < s->n_templates; t++)
        s->templates[t].roles = take_roles(b, s->n_targets);
    for (unsigned t = 0; t < s->n_templates; t++)
        skip_differences(b);
    skip_chains(b, s);
    find_targets(s);
    s->has_sizes = take(b, 1);
    for (unsigned i = 0; s->has_sizes && i < s->n_sids; i++) {
        s->width[i] = take(b, 16) + 1;
        s->height[i] = take(b, 16) + 1;
    }
    return b->failed ? ERR_TRUNCATED : 0;
}

static uint32_t all_targets(const struct dependency_structure *s)
{
    return (uint32_t)((1ull << s->n_targets) - 1);
}

/* What follows the three bytes that every packet has. */
struct extended {
    bool structure, active, roles;
};

static int read_frame(struct bits *b, const struct dependency_structure *s, const struct extended *x, unsigned id,
                      struct dependency_frame *f)
{
    unsigned index = (id + DEPENDENCY_TEMPLATES_MAX - s->first_id) % DEPENDENCY_TEMPLATES_MAX;
    if (index >= s->n_templates)
        return ERR_STATE;
    f->sid = s->templates[index].sid;
    f->tid = s->templates[index].tid;
    f->roles = x->roles ? take_roles(b, s->n_targets) : s->templates[index].roles;
    return b->failed ? ERR_TRUNCATED : 0; /* own differences of frame and chains follow */
}

int dependency_parse(struct dependency_state *s, const uint8_t *value, size_t len, struct dependency_frame *ret)
{
    struct bits b = {.bytes = value, .end = len * 8};
    struct dependency_frame f = {0};
    f.start = take(&b, 1);
    f.end = take(&b, 1);
    unsigned id = take(&b, 6);
    f.number = (uint16_t)take(&b, 16);
    if (b.failed)
        return ERR_TRUNCATED;
    struct extended x = {0};
    struct dependency_structure brought;
    const struct dependency_structure *structure = &s->structure;
    if (len > MANDATORY_BYTES) {
        x.structure = take(&b, 1);
        x.active = take(&b, 1);
        x.roles = take(&b, 1);
        take(&b, 2); /* own differences of frame and chains, which are read over */
    }
    if (x.structure) {
        int err = read_structure(&b, &brought);
        if (err)
            return err;
        structure = &brought;
    }
    if (!structure->n_templates)
        return ERR_STATE;
    uint32_t active = x.structure ? all_targets(structure) : s->active;
    if (x.active)
        active = take(&b, structure->n_targets);
    int err = read_frame(&b, structure, &x, id, &f);
    if (err)
        return err;
    f.structure = x.structure;
    if (x.structure)
        s->structure = brought;
    s->active = active;
    *ret = f;
    return 0;
}
