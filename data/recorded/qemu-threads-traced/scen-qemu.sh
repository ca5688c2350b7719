s_qemu(){
plain() { local n=$1; shift; mkdir -p /out/$n; echo "PHASE $n" > /dev/kmsg; rtwl --dur 8 --out /out/$n "$@"; }
sleep 2
plain idle-fifo80 per,type=per,period=1000,cpus=1,pol=fifo,prio=80
plain busy-fifo80 per,type=per,period=1000,cpus=1,pol=fifo,prio=80 ghog,cpus=1
echo "PHASE end" > /dev/kmsg
sleep 1; poweroff -f
}
