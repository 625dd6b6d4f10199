import Glibc

/// Where a developer's sign-in at one broker is kept: in the Secret Service where there is one, else in a file of mode 0600,
/// in `XDG_STATE_HOME` or `~/.local/state`. What it is, is always in the file.
package struct SignInStore: Sendable {
    package typealias Lock = PrivateFolder.Lock

    private let origin: String
    private let folder: String
    private let name: String
    private let service: SecretService

    /// - Parameter origin: as `BrokerAddress.origin(parsing:)` returns it.
    /// - Returns: nil where the environment names no place.
    package init?(_ origin: String, in environment: [String: String]) {
        func path(_ name: String) -> String? {
            environment[name].flatMap { $0.hasPrefix("/") && !$0.contains("\0") ? $0 : nil }
        }
        guard let state = path("XDG_STATE_HOME") ?? path("HOME").map({ "\($0)/.local/state" }) else { return nil }
        folder = "\(state)/daypass"
        self.origin = origin
        name = Fingerprint.hexadecimal(of: origin.utf8)
        service = SecretService(environment)
    }

    /// For whom the initialiser returns nil.
    static let noPlace = TokenFailure.unusable(
        "there is no place for a sign-in: neither XDG_STATE_HOME nor HOME is set")

    private var file: String { "\(name).login" }

    /// For a person.
    package var path: String { "\(folder)/\(file)" }

    /// Whether somebody has signed in, and not out.
    package var isThere: Bool { access(path, F_OK) == 0 }

    /// - Throws: `unusable`: why what is there is not used.
    package func saved() throws(TokenFailure) -> SavedSignIn? {
        guard isThere else { return nil }
        let folder = try opened()
        do throws(CacheFailure) {
            guard let found = try folder.read(file, atMost: Self.maximumLength) else { return nil }
            do throws(UnusableEntry) {
                return try SavedSignIn(parsing: found.bytes, of: origin)
            } catch {
                throw folder.unusable(file, error.words)
            }
        } catch {
            throw .signedOut("\(error.words); `daypass login` signs in anew")
        }
    }

    private static let maximumLength = 32 * 1024

    private func opened() throws(TokenFailure) -> PrivateFolder {
        do throws(CacheFailure) {
            // Of an empty home: .local, state and daypass.
            return try PrivateFolder(folder, making: 3)
        } catch {
            throw .unusable("the folder of sign-ins cannot be used: \(error.words)")
        }
    }

    /// Whoever uses up or changes what is kept holds this.
    func lock(until end: Duration, _ clock: any TokenClock) async throws(TokenFailure) -> Lock {
        let folder = try opened()
        while true {
            switch folder.lock("\(name).lock") {
            case .taken(let lock): return lock
            case .impossible(let failure): throw .unusable("a sign-in cannot be kept: \(failure.words)")
            case .busy:
                guard clock.uptime < end else {
                    throw .unreachable("another process uses the sign-in, and does not come to an end")
                }
                await clock.wait(.milliseconds(10))
            }
        }
    }

    /// What gets the next token.
    func token(of saved: SavedSignIn) throws(TokenFailure) -> TokenText {
        if case .file(let token) = saved.keeping { return token }
        guard let token = service.token(of: origin, saved.id) else {
            // It may be locked for a while: what is kept of the session lasts.
            throw .noIdentity(
                "the Secret Service does not give the sign-in at \(origin): unlock it, or sign in again with "
                    + "`daypass login`")
        }
        return token
    }

    /// Keeps a new sign-in in the place of what is there.
    func keep(_ token: TokenText, email: String?, at now: Int64, _ lock: Lock) throws(TokenFailure) -> SavedSignIn {
        let before = try? saved()
        let id = SavedSignIn.newId()
        // One that gives nothing back would be found out when it is too late.
        let isInService = service.keep(token, of: origin, id) && service.token(of: origin, id) == token
        let keeping = isInService ? SavedSignIn.Keeping.secretService : .file(token)
        let saved = SavedSignIn(id: id, origin: origin, email: email, since: now, keeping: keeping)
        try write(saved)
        if let before, before.keeping == .secretService { service.remove(origin, before.id) }
        return saved
    }

    /// Keeps the next token of the same sign-in. Where the Secret Service has failed, or fails now, in the file.
    func replace(_ saved: SavedSignIn, with token: TokenText, _ lock: Lock) throws(TokenFailure) {
        let isInService = saved.keeping == .secretService && service.keep(token, of: origin, saved.id)
        if isInService { return }
        try write(
            SavedSignIn(
                id: saved.id, origin: origin, email: saved.email, since: saved.since, keeping: .file(token)))
        // What is used up, and would be reused.
        if saved.keeping == .secretService { service.remove(origin, saved.id) }
    }

    private func write(_ saved: SavedSignIn) throws(TokenFailure) {
        let folder = try opened()
        guard let bytes = try? saved.encoded() else { throw .unusable("a sign-in cannot be written") }
        do throws(CacheFailure) {
            // A token that is lost here is lost to its session.
            try folder.write(Array(bytes), to: file, draft: "\(name).new", isDurable: true)
        } catch {
            throw .unusable("the sign-in is not kept: \(error.words)")
        }
    }

    func remove(_ saved: SavedSignIn?, _ lock: Lock) throws(TokenFailure) {
        if let saved, saved.keeping == .secretService { service.remove(origin, saved.id) }
        try opened().remove(file)
    }
}
