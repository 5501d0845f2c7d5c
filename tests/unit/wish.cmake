gb_test(test_wish LINK wish)
