gb_fuzz(fuzz_config LINK control supervisor)
gb_fuzz(fuzz_control LINK control)
target_link_options(fuzz_control PRIVATE -Wl,--wrap=signaling_reply,--wrap=signaling_refuse,--wrap=signaling_send
                    -Wl,--wrap=signaling_close,--wrap=ws_peer_user)
