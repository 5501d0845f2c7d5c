/* Dependency descriptors one after another against the structure of one source. Input: a length byte and so many bytes,
 * again and again. What is accepted is of a layer that the structure has; what is refused leaves everything as it was. */
#include "rtp/dependency.h"

#include "require.h"

#include <stdlib.h>
#include <string.h>

static void check_structure(const struct dependency_state *s)
{
    const struct dependency_structure *x = &s->structure;
    require(x->n_templates > 0 && x->n_templates <= DEPENDENCY_TEMPLATES_MAX && x->first_id < DEPENDENCY_TEMPLATES_MAX);
    require(x->n_targets > 0 && x->n_targets <= DEPENDENCY_TARGETS_MAX && x->n_chains <= x->n_targets);
    require(x->n_sids > 0 && x->n_sids <= DEPENDENCY_SIDS_MAX);
    for (unsigned i = 0; i < x->n_templates; i++) {
        require(x->templates[i].sid < x->n_sids && x->templates[i].tid < DEPENDENCY_TIDS_MAX);
        require(x->n_targets == DEPENDENCY_TARGETS_MAX || x->templates[i].roles >> (2 * x->n_targets) == 0);
    }
    for (unsigned i = 0; i < x->n_targets; i++)
        require(x->targets[i].sid < x->n_sids && x->targets[i].tid < DEPENDENCY_TIDS_MAX);
    for (unsigned i = 0; x->has_sizes && i < x->n_sids; i++)
        require(x->width[i] >= 1 && x->width[i] <= 65536 && x->height[i] >= 1 && x->height[i] <= 65536);
    require(x->n_targets == DEPENDENCY_TARGETS_MAX || s->active >> x->n_targets == 0);
}

static void one(struct dependency_state *s, const uint8_t *bytes, size_t len)
{
    static struct dependency_state before;
    struct dependency_frame f;
    uint8_t *exact = malloc(len ? len : 1); /* so that a byte too far is found */
    require(exact != NULL);
    memcpy(exact, bytes, len);
    before = *s;
    if (dependency_parse(s, exact, len, &f)) {
        require(!memcmp(s, &before, sizeof before));
    } else {
        require(len >= 3 && f.number == (bytes[1] << 8 | bytes[2]));
        require(f.structure || !memcmp(&s->structure, &before.structure, sizeof before.structure));
        require(f.sid < s->structure.n_sids && f.tid < DEPENDENCY_TIDS_MAX);
        check_structure(s);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dependency_state s;
    memset(&s, 0, sizeof s);
    for (size_t at = 0; at < size;) {
        size_t len = data[at++];
        len = len < size - at ? len : size - at;
        one(&s, data + at, len);
        at += len;
    }
    return 0;
}
