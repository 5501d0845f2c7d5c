gb_test(test_http_text LINK signaling)
gb_test(test_schema LINK signaling)
gb_test(test_token LINK signaling)
