# Set `groups`, all on CPU 3, beside those of scen-more.sh: more than eight tasks in cgroups, fewer in each.
s_groups(){
more_prepare
cgset /A9 cpu.shares 4096; cgset /B9 cpu.shares 1024
cgset /A4 cpu.shares 2048; cgset /B8 cpu.shares 1024
more cg4096x1+1024x9 "hog0,$O,cg=/cg/A9" $(for i in 1 2 3 4 5 6 7 8 9; do echo "hog$i,$O,cg=/cg/B9"; done)
more cg2048x4+1024x8 $(for i in 0 1 2 3; do echo "hog$i,$O,cg=/cg/A4"; done) $(for i in 4 5 6 7 8 9 10 11; do echo "hog$i,$O,cg=/cg/B8"; done)
more cg4096per-1024x9 "per,type=per,period=40000,work=25000,$O,cg=/cg/A9" $(for i in 1 2 3 4 5 6 7 8 9; do echo "hog$i,$O,cg=/cg/B9"; done); }
