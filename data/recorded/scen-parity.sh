# Set `parity`, all on CPU 3, beside those of scen-more.sh: heavy sleepers that wake while one of several hogs is within its
# slice and still eligible. With RUN_TO_PARITY the hog goes on, without it the sleeper preempts.
s_parity(){
more_prepare
more per5ms-work300us-nice-5-hog4 "per,type=per,period=5000,work=300,$O,nice=-5" $(for i in 0 1 2 3; do echo "hog$i,$O"; done)
more per13ms-work3ms-nice-7-hog4 "per,type=per,period=13000,work=3000,$O,nice=-7" $(for i in 0 1 2 3; do echo "hog$i,$O"; done)
more per5ms-work500us-nice-10-hog8 "per,type=per,period=5000,work=500,$O,nice=-10" $(for i in 0 1 2 3 4 5 6 7; do echo "hog$i,$O"; done)
more per7ms-work700us-nice-5-hog6 "per,type=per,period=7000,work=700,$O,nice=-5" $(for i in 0 1 2 3 4 5; do echo "hog$i,$O"; done)
more per3ms-work200us-nice-10-hog4 "per,type=per,period=3000,work=200,$O,nice=-10" $(for i in 0 1 2 3; do echo "hog$i,$O"; done)
more per11ms-work2ms-nice-7-hog5 "per,type=per,period=11000,work=2000,$O,nice=-7" $(for i in 0 1 2 3 4; do echo "hog$i,$O"; done); }
