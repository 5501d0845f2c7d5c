gb_test(test_media SOURCES ${TEST_DIR}/test_media.c ${TEST_DIR}/media_world.c LINK sim net wish base LABEL integration)
target_compile_definitions(test_media PRIVATE MEDIA_BIN="$<TARGET_FILE:giaoban-media>")
add_dependencies(test_media giaoban-media)
