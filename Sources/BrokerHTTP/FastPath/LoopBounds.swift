/// What an event loop may be given at once of work that takes longer than an answer out of memory.
package struct LoopBounds: Sendable {
    /// What comes after so long is refused. A request waits for the turn of the loop in which it is read, and for most of
    /// the one before, in which it arrived: with the time that refusals take as well, 10 ms keep those under 50 ms that are
    /// let in. Far less would refuse what comes together after a restart, when no token is remembered: 10 ms are time for
    /// 200 signatures.
    package var delay: Duration
    /// So many are let in however long it takes: where the processor, or the whole machine, was taken away for a moment,
    /// that is no load.
    package var always: Int
    /// So many exchanges are let in together that begin when all that has arrived is read: 5 ms of work.
    package var waiting: Int

    package init(delay: Duration = .milliseconds(10), always: Int = 32, waiting: Int = 32) {
        self.delay = delay
        self.always = always
        self.waiting = waiting
    }
}
