# For tests/survive/clock.test.mjs.
add_library(shift_clock SHARED ${TEST_DIR}/shift_clock.c)
target_link_libraries(shift_clock PRIVATE ${CMAKE_DL_LIBS})
set_target_properties(shift_clock PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
