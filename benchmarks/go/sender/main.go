// Sends requests at given times, whatever became of those before (open loop), and says how long each took from
// the time it was due: a server that stalls does not keep others from being late (no coordinated omission).
//
//	sender -rate 5000 -seconds 5 -header 'authorization: Bearer KEY' -body '{}' http://127.0.0.1:8080/score
//
// A `{}` in the URL becomes the numbers below -paths, one after the other. Arrivals are Poisson, always the same.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	warm        = 500 * time.Millisecond // not counted
	patience    = 30 * time.Second       // for what is still to be answered in the end
	monotonic   = 1                      // CLOCK_MONOTONIC
	connections = 100                    // a request that finds all of them busy waits, and that counts
)

// call is one request: its bytes, when it was due, and whether it counts.
type call struct {
	bytes []byte
	due   time.Time
	count bool
}

type connection struct {
	net.Conn
	reader *bufio.Reader
	call   call
}

type sender struct {
	target *url.URL
	sync.Mutex
	idle    []*connection
	waiting []call
	taken   []time.Duration
	wrong   map[string]int
	left    sync.WaitGroup
}

func main() {
	headers := []string{}
	flag.Func("header", "a header of each request", func(one string) error { headers = append(headers, one); return nil })
	rate := flag.Float64("rate", 1000, "requests a second")
	seconds := flag.Float64("seconds", 5, "how long requests come")
	body := flag.String("body", "", "the body of each request")
	paths := flag.Int("paths", 1, "how many URLs there are")
	flag.Parse()
	target, err := url.Parse(flag.Arg(0))
	if err != nil || target.Host == "" {
		fail("give one URL")
	}
	requests := [][]byte{}
	for number := range *paths {
		path := strings.ReplaceAll(target.Path, "{}", strconv.Itoa(number))
		text := fmt.Sprintf("POST %s HTTP/1.1\r\nhost: %s\r\n%s\r\ncontent-length: %d\r\n\r\n%s",
			path, target.Host, strings.Join(headers, "\r\n"), len(*body), *body)
		requests = append(requests, []byte(text))
	}
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(1) // on a core that it shares each thread more only takes turns
	all := int(*rate * *seconds)
	s := &sender{target: target, wrong: map[string]int{}, taken: make([]time.Duration, 0, all)}
	time.AfterFunc(time.Duration(*seconds*float64(time.Second))+patience, func() { fail("no answer") })
	for range connections {
		s.left.Add(1)
		s.connect(call{requests[0], time.Now(), false})
	}
	s.left.Wait()
	s.left.Add(all)
	s.arrive(requests, all, *rate)
	s.left.Wait()
	s.report()
}

// arrive lets requests come at their times. Go's own timers are late by up to a millisecond.
func (s *sender) arrive(requests [][]byte, all int, rate float64) {
	timer := newTimer()
	draw := rand.New(rand.NewSource(1))
	begin := time.Now()
	due := begin
	for number := range all {
		due = due.Add(time.Duration(draw.ExpFloat64() / rate * float64(time.Second)))
		if left := time.Until(due); left > 0 {
			timer.wait(left)
		}
		s.take(call{requests[number%len(requests)], due, due.Sub(begin) > warm})
	}
}

// take gives a request to a connection that is free, or to the first that becomes free.
func (s *sender) take(one call) {
	s.Lock()
	if last := len(s.idle) - 1; last >= 0 {
		free := s.idle[last]
		s.idle = s.idle[:last]
		s.Unlock()
		s.send(free, one)
	} else {
		s.waiting = append(s.waiting, one)
		s.Unlock()
	}
}

// connect opens a connection and sends a first request. All are there before the rest comes: were one opened for each
// request that finds none, a stall would let many handshakes follow, each dearer than a request.
func (s *sender) connect(first call) {
	raw, err := net.Dial("tcp", s.target.Host)
	if err != nil {
		fail(err.Error())
	}
	if s.target.Scheme == "https" {
		raw = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	}
	c := &connection{Conn: raw, reader: bufio.NewReader(raw)}
	s.send(c, first)
	go func() {
		for {
			s.answer(c)
		}
	}()
}

func (s *sender) send(c *connection, one call) {
	c.call = one
	if _, err := c.Write(one.bytes); err != nil {
		fail(err.Error())
	}
}

// answer reads one answer and gives the connection its next request.
func (s *sender) answer(c *connection) {
	status, err := read(c.reader)
	if err != nil {
		fail(err.Error())
	}
	taken := time.Since(c.call.due)
	s.Lock()
	defer s.left.Done()
	if status != "200" {
		s.wrong[status]++
	} else if c.call.count {
		s.taken = append(s.taken, taken)
	}
	if len(s.waiting) == 0 {
		s.idle = append(s.idle, c)
		s.Unlock()
		return
	}
	next := s.waiting[0]
	s.waiting = s.waiting[1:]
	s.Unlock()
	s.send(c, next)
}

// timer is one of Linux's that Go waits for as for a connection.
type timer struct{ *os.File }

func newTimer() timer {
	descriptor, _, failed := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, monotonic, syscall.O_NONBLOCK, 0)
	if failed != 0 {
		fail(failed.Error())
	}
	return timer{os.NewFile(descriptor, "timer")}
}

func (t timer) wait(left time.Duration) {
	setting := [2]syscall.Timespec{{}, syscall.NsecToTimespec(int64(left))}
	connection, err := t.SyscallConn()
	if err == nil {
		err = connection.Control(func(descriptor uintptr) {
			syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, descriptor, 0, uintptr(unsafe.Pointer(&setting)), 0, 0, 0)
		})
	}
	if err == nil {
		_, err = t.Read(make([]byte, 8))
	}
	if err != nil {
		fail(err.Error())
	}
}

func read(reader *bufio.Reader) (status string, err error) {
	length := -1
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		line = bytes.ToLower(bytes.TrimSpace(line))
		if len(line) == 0 {
			break
		}
		if status == "" {
			status = string(line[min(9, len(line)):min(12, len(line))])
		} else if value, ok := bytes.CutPrefix(line, []byte("content-length:")); ok {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
		if err != nil {
			return "", err
		}
	}
	if length < 0 {
		return "", fmt.Errorf("an answer without content-length, status %s", status)
	}
	_, err = reader.Discard(length)
	return status, err
}

func (s *sender) report() {
	slices.Sort(s.taken)
	at := func(share float64) float64 {
		if len(s.taken) == 0 {
			return -1
		}
		return float64(s.taken[int(share*float64(len(s.taken)-1))]) / float64(time.Millisecond)
	}
	took := map[string]float64{"p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999)}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"ms": took, "wrong": s.wrong})
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
