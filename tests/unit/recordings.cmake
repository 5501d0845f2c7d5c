gb_test(test_segment LINK recordings)
