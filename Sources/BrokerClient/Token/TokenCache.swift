import FoundationEssentials
import Glibc

/// One gateway token on disk, for whoever asks for the same again, in a folder of this user's alone.
///
/// When the token was last checked is the file's modification time: who notes it cannot write an older token over a newer.
package final class TokenCache: Sendable {
    package typealias Locking = PrivateFolder.Locking
    package typealias Lock = PrivateFolder.Lock

    private let folder: PrivateFolder
    private let key: String
    /// The digest of the key: it begins the names of its files.
    private let name: String

    /// Opens the folder, and makes it where it is not there.
    /// - Parameter key: all that tells what is kept apart from what others keep.
    package init(_ place: CachePlace, key: String) throws(CacheFailure) {
        self.key = key
        name = Fingerprint.hexadecimal(of: key.utf8)
        folder = try PrivateFolder(place.folder, making: 2)
    }

    /// What is kept, and the open file that it is in.
    package struct Entry: Sendable {
        package let held: HeldToken
        /// When it was last checked, or came, in milliseconds since 1970.
        package let checked: Int64
        private let file: OpenFile

        fileprivate init(_ held: HeldToken, checked: Int64, _ file: OpenFile) {
            (self.held, self.checked, self.file) = (held, checked, file)
        }

        /// Notes that it was good at this moment. Where another token has taken its place, nothing happens.
        package func markChecked(at now: Int64) {
            file.setTime(now)
        }
    }

    /// - Throws: why what is there is not used. It may be written over.
    package func entry() throws(CacheFailure) -> Entry? {
        guard let found = try folder.read("\(name).token", atMost: Self.maximumLength) else { return nil }
        let held: HeldToken?
        do throws(UnusableEntry) {
            held = try HeldToken(parsing: found.bytes, key)
        } catch {
            throw folder.unusable("\(name).token", error.words)
        }
        return held.map { Entry($0, checked: found.modified, found.file) }
    }

    private static let maximumLength = 32 * 1024

    /// Of all processes that want this token. Does not wait; it is held until its last reference goes.
    package func lock() -> Locking { folder.lock("\(name).lock") }

    /// Keeps `held` in the place of what is there. Who reads sees the one or the other, whole.
    /// - Parameter lock: shows that nobody else writes.
    package func keep(_ held: HeldToken, _ lock: Lock) throws(CacheFailure) {
        guard let bytes = try? held.encoded(key) else { throw CacheFailure(words: "the token cannot be written") }
        try folder.write(Array(bytes), to: "\(name).token", draft: "\(name).new", at: held.received)
        sweep(before: held.received - Self.longest)
    }

    /// In milliseconds: no token lasts longer.
    private static let longest: Int64 = 25 * 3600 * 1000

    /// Takes what is there away, if it is still this token.
    package func discard(_ token: TokenText, _ lock: Lock) {
        guard let entry = try? entry(), entry.held.token == token else { return }
        folder.remove("\(name).token")
    }

    /// Takes away what others left that has ended long ago.
    private func sweep(before moment: Int64) {
        for name in folder.names where Self.endings.contains(where: name.hasSuffix) {
            guard let modified = folder.modified(name), modified < moment else { continue }
            if name.hasSuffix(".lock") { folder.removeLock(name) } else { folder.remove(name) }
        }
    }

    private static let endings = [".token", ".new", ".failure", ".lock"]

    /// Takes away all tokens whose keys have a line that begins so.
    static func forget(_ line: String, at place: CachePlace) {
        guard access(place.folder, F_OK) == 0, let folder = try? PrivateFolder(place.folder, making: 0) else { return }
        for name in folder.names where name.hasSuffix(".token") {
            guard let found = try? folder.read(name, atMost: maximumLength),
                let key = (try? JSON(parsing: Data(found.bytes), depth: 1))?["key"]?.text,
                key.split(separator: "\n").contains(where: { $0.hasPrefix(line) })
            else { continue }
            folder.remove(name)
        }
    }
}

/// What those who wait for another's exchange are told where that fails.
extension TokenCache {
    /// - Parameter lock: shows that nobody else writes.
    package func keep(_ failure: TokenFailure, at now: Int64, _ lock: Lock) {
        var words: [String: JSON] = [
            "version": .integer(1), "key": .string(key), "at": .integer(now), "kind": .string(failure.kind),
            "words": .string(failure.words),
        ]
        if case .overloaded(_, let pause) = failure { words["after"] = .integer(pause.components.seconds) }
        guard let bytes = try? JSON.object(words).encoded() else { return }
        try? folder.write(Array(bytes), to: "\(name).failure", draft: "\(name).new", at: now)
    }

    /// - Parameter start: in milliseconds since 1970.
    /// - Returns: nil where nobody has failed from then on.
    package func failure(since start: Int64) -> TokenFailure? {
        guard let found = try? folder.read("\(name).failure", atMost: 4096),
            let json = try? JSON(parsing: Data(found.bytes), depth: 1),
            json["version"]?.count == 1, json["key"]?.text?.utf8.elementsEqual(key.utf8) == true,
            let at = json["at"]?.count, at >= start,
            let kind = json["kind"]?.text, let words = json["words"]?.text
        else { return nil }
        return TokenFailure(kind: kind, words: words, after: .seconds(min(max(json["after"]?.count ?? 1, 1), 3600)))
    }
}

/// Why there is no cache, or not all of it. The words hold no secret.
package struct CacheFailure: Error, Sendable, Hashable {
    package let words: String

    init(words: String) {
        self.words = words
    }

    /// The operating system's words for its last error.
    init(_ path: String) {
        words = "\(path): \(String(cString: strerror(errno)))"
    }
}
