gb_bench(bench_srtp LINK srtp)
gb_bench(bench_net LINK net)
