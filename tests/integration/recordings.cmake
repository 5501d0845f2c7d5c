# The rooms' pictures and sounds are the simulator's; only its two drawing files are needed.
set(recordings_source ${TEST_DIR}/recordings_source.c ${TEST_DIR}/recordings_files.c
    ${CMAKE_SOURCE_DIR}/client/sim/picture.c
    ${CMAKE_SOURCE_DIR}/client/sim/sound.c)
foreach(name test_recorder test_recorder_break test_recorder_disk test_compose)
    gb_test(${name} SOURCES ${TEST_DIR}/${name}.c ${recordings_source} LINK recordings LABEL integration)
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/client)
    target_compile_definitions(${name} PRIVATE RECORDER="$<TARGET_FILE:giaoban-recorder>")
    add_dependencies(${name} giaoban-recorder)
endforeach()
