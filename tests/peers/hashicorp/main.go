// A session of github.com/hashicorp/yamux that does what it is told.
//
// usage: hashicorp dial|serve ADDRESS [flags]
//
// It connects to ADDRESS and is the Yamux client (dial) or server (serve) there. Every line on its standard input is a
// command, answered by one line on its standard output.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

var session *yamux.Session

func main() {
	config := yamux.DefaultConfig()
	config.LogOutput = ioutil.Discard
	flags := flag.NewFlagSet("hashicorp", flag.ExitOnError)
	window := flags.Uint("window", 256*1024, "receive window of a stream, bytes")
	flags.IntVar(&config.AcceptBacklog, "backlog", 256, "streams that wait to be accepted")
	flags.BoolVar(&config.EnableKeepAlive, "keepalive", false, "whether to ping")
	flags.DurationVar(&config.KeepAliveInterval, "interval", 30*time.Second, "how often to ping")
	flags.DurationVar(&config.ConnectionWriteTimeout, "timeout", 10*time.Second, "how long to wait for an answer")
	check(flags.Parse(os.Args[3:]))
	config.MaxStreamWindowSize = uint32(*window)

	conn, err := net.Dial("tcp", os.Args[2])
	check(err)
	if os.Args[1] == "dial" {
		session, err = yamux.Client(conn, config)
	} else {
		session, err = yamux.Server(conn, config)
	}
	check(err)

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var command string
		var a, b int
		fmt.Sscan(lines.Text(), &command, &a, &b)
		fmt.Println(obey(command, a, b))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// held are the streams that "hold" has taken, in their order.
var held []net.Conn

func obey(command string, a, b int) interface{} {
	switch command {
	case "echo": // every stream gets back what it sent, then its end
		go accept(func(s net.Conn) { io.Copy(s, s); s.Close() })
	case "reply": // every stream gets `a` bytes once it has ended
		go accept(func(s net.Conn) {
			io.Copy(ioutil.Discard, s)
			s.Write(pattern(a))
			s.Close()
		})
	case "hold": // takes one stream and leaves it alone
		s, err := session.Accept()
		if err != nil {
			return err
		}
		held = append(held, s)
	case "drain": // reads held stream `a` to its end
		n, err := io.Copy(ioutil.Discard, held[a])
		return fmt.Sprint(n, " ", err)
	case "read": // reads `b` bytes of held stream `a`
		n, err := io.ReadFull(held[a], make([]byte, b))
		return fmt.Sprint(n, " ", err)
	case "write": // writes `b` bytes to held stream `a`, in one call
		n, err := held[a].Write(pattern(b))
		return fmt.Sprint(n, " ", err)
	case "close": // ends held stream `a`
		return held[a].Close()
	case "open": // opens a stream and holds it
		s, err := session.Open()
		if err != nil {
			return err
		}
		held = append(held, s)
	case "exchange": // `a` streams at once, `b` times: writes, reads the same back, closes
		return exchange(a, b)
	case "goaway":
		return session.GoAway()
	case "end":
		return session.Close()
	case "ended": // waits for the end of the session
		<-session.CloseChan()
	case "streams":
		return session.NumStreams()
	case "storm": // `a` pings at once, says how many were answered
		return storm(a)
	default:
		return "unknown command"
	}
	return "ok"
}

func accept(serve func(net.Conn)) {
	for {
		s, err := session.Accept()
		if err != nil {
			return
		}
		go serve(s)
	}
}

func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7 + i>>8)
	}
	return data
}

func exchange(streams, times int) string {
	var wait sync.WaitGroup
	faults := make(chan string, streams*times)
	for i := 0; i < streams; i++ {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			for j := 0; j < times; j++ {
				if fault := once(1 + (i*i*7919+j)%300000); fault != "" {
					faults <- fault
				}
			}
		}(i)
	}
	wait.Wait()
	select {
	case fault := <-faults:
		return fault
	default:
		return "ok"
	}
}

func once(size int) string {
	s, err := session.Open()
	if err != nil {
		return err.Error()
	}
	// It ends both halves: after Close, this implementation reads nothing more.
	defer s.Close()
	request := pattern(size)
	go s.Write(request)
	answer := make([]byte, size)
	if _, err := io.ReadFull(s, answer); err != nil {
		return err.Error()
	}
	if !bytes.Equal(request, answer) {
		return "the answer differs"
	}
	return ""
}

func storm(pings int) int {
	var wait sync.WaitGroup
	answered := make(chan bool, pings)
	for i := 0; i < pings; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if _, err := session.Ping(); err == nil {
				answered <- true
			}
		}()
	}
	wait.Wait()
	return len(answered)
}
