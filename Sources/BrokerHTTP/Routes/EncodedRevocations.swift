import Broker
import Dispatch
import JOSE
import NIOCore
import Synchronization

/// What is revoked, as text that is made once for all who get it.
///
/// Text is made on threads of its own, with no lock held: a million revocations take seconds, and neither an event loop nor
/// whoever finds his text made waits for that. Whoever comes while some is being made waits for that, or, where it was begun
/// before the last change, for one more, which all who came meanwhile share. Callable from any thread.
final class EncodedRevocations: Sendable {
    /// A whole set serves those who come until so many more are revoked: they get these behind it.
    static let maximumLag: UInt64 = 1000
    /// So many revocations are in one part of a stream at most.
    static let maximumPart: UInt64 = 1024
    /// So many parts are kept.
    static let maximumParts = 8

    private let state = Mutex(State())
    // Two, so that a part, which is made soon, does not wait for a whole set.
    private let wholes = DispatchQueue(label: "daypass.revocations.whole")
    private let parts = DispatchQueue(label: "daypass.revocations.part")
    private let encode: @Sendable (JSONObject) -> [UInt8]

    private struct State {
        var whole: Whole?
        /// The latest that anybody asked for and that was not made yet.
        var wanted: RevocationSnapshot?
        /// That which was used last is the last.
        var parts: [Part] = []
        var count = 0
    }

    /// The whole set as it was after some change.
    struct Whole: Sendable {
        let edition: String
        let highest: UInt64
        let change: UInt64
        let tag: String
        let json: ByteBuffer

        /// As an event of a stream.
        var event: [ByteBuffer] {
            [ByteBuffer(string: "event: set\nid: \(edition)-\(highest)\ndata: "), json, ByteBuffer(string: "\n\n")]
        }
    }

    private struct Part {
        let edition: String
        let first: UInt64
        let last: UInt64
        let text: ByteBuffer
    }

    /// - Parameter encode: `JSONObject.encoded`; tests hold it up.
    init(encode: @escaping @Sendable (JSONObject) -> [UInt8] = { $0.encoded() }) {
        self.encode = encode
    }

    /// How often anything was encoded.
    var encodingCount: Int { state.withLock { $0.count } }

    /// The whole set as it is in the snapshot, or after a later change.
    func document(of snapshot: RevocationSnapshot) async -> Whole {
        if let whole = state.withLock({ $0.whole }), whole.change >= snapshot.change { return whole }
        return await newest(for: snapshot)
    }

    /// The whole set for a stream that begins: as in the snapshot, somewhat older, or newer.
    func set(of snapshot: RevocationSnapshot) async -> Whole {
        if let whole = state.withLock({ $0.whole }),
            whole.change >= snapshot.change
                || whole.edition == snapshot.edition && snapshot.highest - whole.highest <= Self.maximumLag
        {
            return whole
        }
        return await newest(for: snapshot)
    }

    /// Those above a number, an event each, as far as they go into one part, and the number up to which that is.
    /// - Parameter sequence: lower than the highest of the snapshot.
    func events(after sequence: UInt64, of snapshot: RevocationSnapshot) async -> (text: ByteBuffer, last: UInt64) {
        let revocations = snapshot.after(sequence)
        guard let first = revocations.first?.sequence else { return (ByteBuffer(), snapshot.highest) }
        // They end at the same numbers wherever they begin: whoever fell behind soon has the same ones as others.
        let last = min(snapshot.highest, ((first - 1) / Self.maximumPart + 1) * Self.maximumPart)
        if let text = part(snapshot.edition, first, last) { return (text, last) }
        let text = await Self.run(on: parts) { [self] in
            // Whoever was before in the queue may have made it.
            if let text = part(snapshot.edition, first, last) { return text }
            let text = self.text(of: revocations.prefix { $0.sequence <= last }, snapshot.edition)
            state.withLock { state in
                state.count += 1
                if state.parts.count == Self.maximumParts { state.parts.removeFirst() }
                state.parts.append(Part(edition: snapshot.edition, first: first, last: last, text: text))
            }
            return text
        }
        return (text, last)
    }

    private func part(_ edition: String, _ first: UInt64, _ last: UInt64) -> ByteBuffer? {
        state.withLock { state in
            let index = state.parts.firstIndex { $0.edition == edition && $0.first == first && $0.last == last }
            guard let index else { return nil }
            let part = state.parts.remove(at: index)
            state.parts.append(part)
            return part.text
        }
    }

    private func text(of revocations: ArraySlice<Revocation>, _ edition: String) -> ByteBuffer {
        var text = ByteBuffer()
        for revocation in revocations {
            // No encoding has a line break in it.
            text.writeString("event: revocation\nid: \(edition)-\(revocation.sequence)\ndata: ")
            text.writeBytes(encode(revocation.publicJSON))
            text.writeString("\n\n")
        }
        return text
    }

    /// The set of what was wanted last by the time that it is its turn: whoever waits behind it finds it made.
    private func newest(for snapshot: RevocationSnapshot) async -> Whole {
        state.withLock { state in
            if state.wanted.map({ $0.change < snapshot.change }) ?? true { state.wanted = snapshot }
        }
        return await Self.run(on: wholes) { [self] in
            let (made, wanted) = state.withLock { state in (state.whole, state.wanted ?? snapshot) }
            if let made, made.change >= snapshot.change { return made }
            let whole = whole(of: wanted)
            state.withLock { state in
                state.count += 1
                state.whole = whole
                if let wanted = state.wanted, wanted.change <= whole.change { state.wanted = nil }
            }
            return whole
        }
    }

    private func whole(of snapshot: RevocationSnapshot) -> Whole {
        let json: JSONObject = [
            "highest": .number(Double(snapshot.highest)),
            "revocations": .array(snapshot.revocations.map { .object($0.publicJSON) }),
        ]
        return Whole(
            edition: snapshot.edition, highest: snapshot.highest, change: snapshot.change, tag: snapshot.tag,
            json: ByteBuffer(bytes: encode(json)))
    }

    private static func run<Value: Sendable>(
        on queue: DispatchQueue, _ body: @escaping @Sendable () -> Value
    ) async -> Value {
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: body()) }
        }
    }
}
