package import Broker
import Dispatch
import Glibc
import Synchronization

/// The resolver of the machine, `getaddrinfo(3)`, which blocks for as long as it likes.
///
/// At most four look-ups run at a time, on threads of their own; at most 256 wait for one of them. Whoever stops waiting
/// leaves a running look-up behind, which then occupies its thread and nothing else.
package final class SystemResolver: HostResolver {
    private let queue = DispatchQueue(label: "daypass.resolver", attributes: .concurrent)
    private let state = Mutex(State())

    package init() {}

    package func addresses(of name: String) async throws(ResolutionFailure) -> [IPAddress] {
        let lookUp = LookUp(name: name)
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                lookUp.answerTo(continuation)
                start(lookUp)
            }
        } onCancel: {
            lookUp.end(.failure(ResolutionFailure("the look-up took too long")))
        }
        return try outcome.get()
    }

    private func start(_ lookUp: LookUp) {
        switch state.withLock({ $0.admit(lookUp) }) {
        case .run: queue.async { self.run(lookUp) }
        case .wait: break
        case .refuse: lookUp.end(.failure(ResolutionFailure("too many look-ups are waiting")))
        }
    }

    private func run(_ first: LookUp) {
        var next: LookUp? = first
        while let lookUp = next {
            if !lookUp.isOver { lookUp.end(Self.resolve(lookUp.name)) }
            next = state.withLock { $0.next() }
        }
    }

    private static func resolve(_ name: String) -> LookUp.Outcome {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hints, &list)
        guard code == 0 else { return .failure(ResolutionFailure(String(cString: gai_strerror(code)))) }
        defer { freeaddrinfo(list) }
        var addresses: [IPAddress] = []
        for entry in sequence(first: list, next: { $0?.pointee.ai_next }) {
            guard let entry else { break }
            // One of an unknown family cannot be checked: then none is used.
            guard let address = address(of: entry.pointee) else {
                return .failure(ResolutionFailure("the name has an address that is neither IPv4 nor IPv6"))
            }
            if !addresses.contains(address) { addresses.append(address) }
        }
        return addresses.isEmpty ? .failure(ResolutionFailure("the name has no address")) : .success(addresses)
    }

    /// By offsets of Linux's ABI: which module the members of these structures belong to depends on how the package is
    /// compiled, and with it whether their names can be used.
    private static func address(of entry: addrinfo) -> IPAddress? {
        guard let pointer = UnsafeRawPointer(entry.ai_addr) else { return nil }
        let (offset, count) = entry.ai_family == AF_INET ? (4, 4) : (8, 16)
        guard entry.ai_family == AF_INET || entry.ai_family == AF_INET6, Int(entry.ai_addrlen) >= offset + count else {
            return nil
        }
        return IPAddress(bytes: Array(UnsafeRawBufferPointer(start: pointer + offset, count: count)))
    }
}

extension SystemResolver {
    private struct State {
        private var running = 0
        private var waiting: [LookUp] = []

        enum Admission {
            case run, wait, refuse
        }

        mutating func admit(_ lookUp: LookUp) -> Admission {
            waiting.removeAll(where: \.isOver)
            if running < 4 {
                running += 1
                return .run
            }
            guard waiting.count < 256 else { return .refuse }
            waiting.append(lookUp)
            return .wait
        }

        /// - Returns: nil when the thread that asks has nothing more to do.
        mutating func next() -> LookUp? {
            guard waiting.isEmpty else { return waiting.removeFirst() }
            running -= 1
            return nil
        }
    }

    /// A question, answered once: by the resolver or by whoever cancels it, whichever comes first.
    private final class LookUp: Sendable {
        typealias Outcome = Result<[IPAddress], ResolutionFailure>

        let name: String
        private let state = Mutex(State.asked)

        private enum State {
            case asked
            case awaited(CheckedContinuation<Outcome, Never>)
            case over(Outcome)
        }

        init(name: String) {
            self.name = name
        }

        var isOver: Bool {
            state.withLock { if case .over = $0 { true } else { false } }
        }

        func answerTo(_ continuation: CheckedContinuation<Outcome, Never>) {
            let outcome: Outcome? = state.withLock {
                if case .over(let outcome) = $0 { return outcome }
                $0 = .awaited(continuation)
                return nil
            }
            if let outcome { continuation.resume(returning: outcome) }
        }

        func end(_ outcome: Outcome) {
            let continuation: CheckedContinuation<Outcome, Never>? = state.withLock { state in
                if case .over = state { return nil }
                defer { state = .over(outcome) }
                if case .awaited(let continuation) = state { return continuation }
                return nil
            }
            continuation?.resume(returning: outcome)
        }
    }
}
