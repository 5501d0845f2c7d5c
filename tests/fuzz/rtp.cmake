foreach(t rtp rtcp video rtx)
    gb_fuzz(fuzz_${t} LINK rtp)
endforeach()
