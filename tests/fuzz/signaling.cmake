gb_fuzz(fuzz_signaling_request LINK signaling)
gb_fuzz(fuzz_http_text LINK signaling)
gb_fuzz(fuzz_token LINK signaling)
