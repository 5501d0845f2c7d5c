gb_test(test_segment LINK recordings)
gb_test(test_assembler LINK recordings)
gb_test(test_timeline LINK recordings)
gb_test(test_recorder_turn LINK recordings)
