package publisher

import "time"

// run watches the connection and the clock until Close.
func (p *Publisher) run() {
	defer close(p.gone)
	sweep := time.NewTicker(p.config.Timeout / 20)
	defer sweep.Stop()
	for {
		select {
		case <-p.changed:
		case <-p.wake:
			p.tellDecided()
		case <-sweep.C:
			p.sweep()
		case <-p.stop:
			p.end()
			return
		}
		p.settle()
	}
}

// settle deals with what has become of the connection since the last time.
func (p *Publisher) settle() {
	epoch, up := p.conn.State()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == open {
		if up && epoch == p.epoch {
			return
		}
		p.state = failing
	}
	if p.state == failing {
		// Where nothing had been sent, what is parked can wait: no order is at stake.
		if p.slots.anySent() {
			p.failAll(lost)
		}
		p.state = waiting
	}
	if !up {
		return
	}
	sub, err := p.conn.Subscribe(epoch, p.slots.inbox+"*", p.answer)
	if err != nil {
		return // lost meanwhile: a token comes
	}
	p.sub, p.state, p.epoch, p.asked = sub, open, epoch, false
	waited := p.parked
	p.parked = nil
	for _, s := range waited {
		p.send(s)
	}
}

// failAll answers Unknown to everything under way, and to what comes while it does so: until a caller has been told, it
// may still be publishing. The caller holds mu, which is free while callers are told, and has set state to anything
// but open.
func (p *Publisher) failAll(r Result) {
	for {
		var batch []answer
		for _, s := range p.slots.all {
			if s.state == sent || s.state == flushed || s.state == parked {
				batch = append(batch, p.release(s, r))
			}
		}
		p.parked = nil
		p.dropReleased()
		if len(batch) == 0 {
			return
		}
		p.mu.Unlock()
		for _, a := range batch {
			a.tell()
		}
		p.mu.Lock()
	}
}

// sweep answers Unknown to what has waited too long.
func (p *Publisher) sweep() {
	late := time.Since(p.start) - p.config.Timeout
	var batch []answer
	p.mu.Lock()
	for _, s := range p.slots.all {
		switch {
		case s.begun > late:
		case s.state == sent:
			batch = append(batch, p.release(s, unanswered))
		case s.state == flushed:
			batch = append(batch, p.release(s, unconfirmed))
		}
	}
	p.dropReleased()
	if len(p.parked) > 0 && p.parked[0].begun <= late {
		// All of it, so that nothing is sent after something earlier that was not.
		p.failAll(down)
	}
	p.mu.Unlock()
	for _, a := range batch {
		a.tell()
	}
}

// tellDecided tells those that were refused without having been sent.
func (p *Publisher) tellDecided() {
	p.mu.Lock()
	batch := make([]answer, 0, len(p.decided))
	for _, s := range p.decided {
		batch = append(batch, p.release(s, s.result))
	}
	p.decided = nil
	p.mu.Unlock()
	for _, a := range batch {
		a.tell()
	}
}

// end answers Unknown to all that is left and waits for the last call of Published.
func (p *Publisher) end() {
	p.unwatch()
	if p.sub != nil {
		p.sub.Unsubscribe()
	}
	p.mu.Lock()
	p.state = waiting
	p.mu.Unlock()
	p.tellDecided()
	p.mu.Lock()
	p.failAll(stopped)
	p.closed = true
	p.mu.Unlock()
}

// release frees a slot and returns whom to tell. The caller holds mu.
func (p *Publisher) release(s *slot, r Result) answer {
	p.config.Metrics.answered(r, time.Since(p.start)-s.begun, s.core())
	a := p.slots.release(s, r)
	if p.room != nil && p.hasRoom() {
		close(p.room)
		p.room = nil
	}
	if p.idle != nil && p.slots.busy == 0 {
		select {
		case <-p.idle:
		default:
			close(p.idle)
		}
	}
	return a
}
