import Broker
import Hummingbird
import JOSE

/// `GET audit/verify` and `GET audit/hashes`
struct AuditChainRoutes: Sendable {
    let chain: any AuditChainAdministration

    func verify(_ query: AdministrationQuery) async throws(AdministrationFailure) -> Response {
        let checkpoint = try query.integer("after", 1...Int64.max)
        return .json(.ok, try await chain.verify(after: checkpoint).json)
    }

    func hashes(_ query: AdministrationQuery) async throws(AdministrationFailure) -> Response {
        let after = try query.integer("after", 0...Int64.max) ?? 0
        let limits = AdministrationAPI.hashLimits
        let asked = try query.integer("limit", Int64(limits.lowerBound)...Int64(limits.upperBound))
        let limit = asked.map { Int($0) } ?? limits.upperBound
        let marks = try await chain.marks(after: after, limit: limit)
        var checkpoints: [Checkpoint] = []
        if let first = marks.first?.sequence, let last = marks.last?.sequence, first <= last {
            checkpoints = try await chain.checkpoints(behind: first...last)
        }
        return .json(.ok, AdministrationAPI.json(marks, checkpoints, limit: limit))
    }
}

extension AdministrationQuery {
    /// A whole number; nil where it is not there.
    func integer(_ name: ExactString, _ range: ClosedRange<Int64>) throws(AdministrationFailure) -> Int64? {
        guard let text = self[name]?.string else { return nil }
        guard let number = Int64(text), String(number) == text, range.contains(number) else {
            throw .invalid("\(name) has to be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}
