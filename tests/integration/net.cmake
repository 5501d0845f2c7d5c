set(net_world ${TEST_DIR}/net_world.c)
gb_test(test_net SOURCES ${TEST_DIR}/test_net.c ${net_world} LINK net LABEL integration)
gb_test(test_net_inside SOURCES ${TEST_DIR}/test_net_inside.c ${net_world} LINK net LABEL integration)
gb_test(test_net_box SOURCES ${TEST_DIR}/test_net_box.c ${net_world} LINK net LIBS seccomp LABEL integration)
