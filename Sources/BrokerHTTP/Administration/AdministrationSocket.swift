import Broker
import Glibc

/// The file of the administration socket, and its folder, which is the broker's own: nobody else can put a socket there.
struct AdministrationSocket: Sendable {
    let path: String
    /// Whose members may use it; nil where only root and the broker's own user may.
    let group: UInt32?

    init(path: String, group: UInt32?) {
        self.path = path
        self.group = group
    }

    /// - Throws: where there is no such group.
    init(_ configuration: AdministrationConfiguration) throws(ListenerFailure) {
        path = configuration.socketPath
        guard let name = configuration.group else {
            group = nil
            return
        }
        guard let id = UserDatabase.groupID(name) else {
            throw ListenerFailure(description: "server.admin.group: there is no group \(name) on this host")
        }
        group = id
    }

    /// Makes the folder, and removes the socket that a broker left behind which has ended. To be called by who holds the
    /// store's lock: another broker of the same store is not there then; one of another store is asked.
    func prepare() throws(ListenerFailure) {
        guard path.utf8.count <= AdministrationConfiguration.maximumPathLength else {
            throw failure("the path has more than \(AdministrationConfiguration.maximumPathLength) bytes")
        }
        try prepareFolder()
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw failure("there is a file that is no socket") }
        guard status.st_uid == geteuid() else { throw failure("there is a socket of another user") }
        guard !isAnswered else { throw failure("another program listens on it") }
        guard unlink(path) == 0 || errno == ENOENT else {
            throw failure("the socket of a broker that has ended cannot be removed: \(Self.systemError)")
        }
    }

    /// Gives the socket, which has just been made, to those who may use it.
    func open() throws(ListenerFailure) {
        if let group {
            // The group before the mode: never is it another group's.
            guard lchown(path, uid_t.max, group) == 0 else {
                throw failure("it cannot be given to the group: \(Self.systemError)")
            }
        }
        guard chmod(path, group == nil ? 0o600 : 0o660) == 0 else {
            throw failure("its mode cannot be set: \(Self.systemError)")
        }
    }

    func remove() {
        unlink(path)
    }

    private func prepareFolder() throws(ListenerFailure) {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        if mkdir(folder, 0o700) != 0, errno != EEXIST {
            throw failure("the folder \(folder) cannot be made: \(Self.systemError)")
        }
        var status = stat()
        guard lstat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw failure("\(folder) is no folder")
        }
        guard status.st_uid == geteuid() else { throw failure("the folder \(folder) belongs to another user") }
        guard status.st_mode & 0o007 == 0 else {
            throw failure("the folder \(folder) is open to others: it has to be the broker's own, with mode 0700")
        }
        guard let group else {
            guard status.st_mode & 0o070 == 0 else {
                throw failure(
                    "the folder \(folder) is open to its group: it has to be the broker's own, with mode 0700")
            }
            return
        }
        // Its members have to get through, and no further.
        guard lchown(folder, uid_t.max, group) == 0, chmod(folder, 0o710) == 0 else {
            throw failure("the folder \(folder) cannot be opened to the group: \(Self.systemError)")
        }
    }

    /// Whether somebody accepts connections there.
    private var isAnswered: Bool {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return true }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let outcome = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // A full queue is somebody's too.
        return outcome == 0 || errno != ECONNREFUSED
    }

    private func failure(_ words: String) -> ListenerFailure {
        ListenerFailure(description: "server.admin.socket \(path): \(words)")
    }

    private static var systemError: String { String(cString: strerror(errno)) }
}
