import CProcess
import Glibc

/// How this process was started: whether SIGPIPE is ignored, and what is blocked.
struct InheritedSignals: Sendable {
    /// Has to be looked at before anything is changed.
    static let ofThisProcess = InheritedSignals()

    private let ignoresPipe: Bool
    private let blocked: sigset_t

    private init() {
        var pipe = sigaction()
        ignoresPipe =
            sigaction(SIGPIPE, nil, &pipe) == 0
            && unsafeBitCast(pipe.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
        var blocked = sigset_t()
        sigemptyset(&blocked)
        pthread_sigmask(SIG_SETMASK, nil, &blocked)
        self.blocked = blocked
    }

    /// In the thread that calls it.
    func restore() {
        signal(SIGPIPE, ignoresPipe ? SIG_IGN : SIG_DFL)
        var blocked = blocked
        pthread_sigmask(SIG_SETMASK, &blocked, nil)
    }
}
