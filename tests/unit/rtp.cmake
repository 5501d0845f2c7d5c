foreach(t rtp_packet dependency rtcp transport_cc video nack rtx history rewrite receive_stats clockmap)
    gb_test(test_${t} LINK rtp)
endforeach()
