gb_test(test_allocation LINK sfu sdp briefing wish bwe rtp base)
target_link_options(test_allocation PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup)
