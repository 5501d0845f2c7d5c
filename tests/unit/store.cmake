gb_test(test_store LINK store)
target_compile_definitions(test_store PRIVATE PROVINCE_UNITS="${CMAKE_SOURCE_DIR}/config/units.thanhhoa.json")
