gb_test(test_config LINK control)
target_compile_definitions(test_config PRIVATE CONFIG_FILE="${CMAKE_SOURCE_DIR}/config/giaoban.yaml")
gb_test(test_answer_slots LINK control)
gb_test(test_archive_page LINK control)
