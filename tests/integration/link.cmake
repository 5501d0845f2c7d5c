# The program that impairs a real line between two network namespaces, for tests/link.
add_executable(impair ${TEST_DIR}/../link/impair.c ${TEST_DIR}/../link/access.c)
set_target_properties(impair PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
