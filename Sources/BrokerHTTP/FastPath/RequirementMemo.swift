import Broker
import Glibc
import HTTPTypes

/// Requirements that were read before, by the exact bytes that they were read from: a gateway sends few different ones.
/// Belongs to one event loop.
///
/// Bounded: 16 of at most 512 bytes; a new one takes the place of the oldest.
struct RequirementMemo {
    static let capacity = 16
    static let maximumLength = 512

    /// Where a requirement stands: the values of its headers, and the query of exactly `/verify`; nil for what is not there.
    struct Source {
        var scope: UnsafeRawBufferPointer?
        var model: UnsafeRawBufferPointer?
        var query: UnsafeRawBufferPointer?

        var length: Int { (scope?.count ?? 0) + (model?.count ?? 0) + (query?.count ?? 0) }
    }

    private struct Entry {
        let scope: [UInt8]?
        let model: [UInt8]?
        let query: [UInt8]?
        let requirement: Requirement?

        func matches(_ source: Source) -> Bool {
            Self.same(scope, source.scope) && Self.same(model, source.model) && Self.same(query, source.query)
        }

        private static func same(_ kept: [UInt8]?, _ bytes: UnsafeRawBufferPointer?) -> Bool {
            guard let kept else { return bytes == nil }
            guard let bytes, kept.count == bytes.count else { return false }
            guard let start = bytes.baseAddress else { return true }
            return kept.withUnsafeBytes { kept in kept.baseAddress.map { memcmp($0, start, bytes.count) == 0 } ?? true }
        }
    }

    private var entries: [Entry] = []
    private var next = 0

    /// - Returns: nil when it cannot be read.
    mutating func requirement(_ source: Source) -> Requirement? {
        for entry in entries where entry.matches(source) { return entry.requirement }
        let requirement = VerifyQuestion.requirement(
            scopes: source.scope.map { [Self.text($0)] } ?? [], models: source.model.map { [Self.text($0)] } ?? [],
            query: source.query.map(Self.text))
        guard source.length <= Self.maximumLength else { return requirement }
        let entry = Entry(
            scope: source.scope.map { Array($0) }, model: source.model.map { Array($0) },
            query: source.query.map { Array($0) }, requirement: requirement)
        if entries.count < Self.capacity {
            entries.append(entry)
        } else {
            entries[next] = entry
            next = (next + 1) % Self.capacity
        }
        return requirement
    }

    var count: Int { entries.count }

    /// As the decoder makes texts of bytes.
    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: bytes, as: UTF8.self)
    }
}
