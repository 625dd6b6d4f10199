import Broker
import BrokerHTTP
import Synchronization

/// Resolves names as a test says, without asking anybody, and counts.
final class StubResolver: HostResolver {
    private let state: Mutex<State>

    private struct State {
        var answers: [String: [[IPAddress]]]
        var calls: [String] = []
    }

    /// - Parameter answers: by name, in their order; the last one is given again and again.
    init(_ answers: [String: [[String]]] = [:]) {
        let parsed = answers.mapValues { $0.map { $0.compactMap(IPAddress.init(parsing:)) } }
        state = Mutex(State(answers: parsed))
    }

    /// The names that were asked for, in order.
    var calls: [String] { state.withLock { $0.calls } }

    func addresses(of name: String) async throws(ResolutionFailure) -> [IPAddress] {
        let answer: [IPAddress]? = state.withLock { state in
            state.calls.append(name)
            guard let answers = state.answers[name] else { return nil }
            if answers.count > 1 { state.answers[name]?.removeFirst() }
            return answers.first
        }
        guard let answer else { throw ResolutionFailure("Name or service not known") }
        return answer
    }
}
