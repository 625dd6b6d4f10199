import Glibc

/// The system's users and groups. Every call takes as long as the database does.
package enum UserDatabase {
    static func groupID(_ name: String) -> UInt32? {
        var entry = group()
        var found: UnsafeMutablePointer<group>?
        var buffer = [CChar](repeating: 0, count: 1 << 20)
        guard getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return entry.gr_gid
    }

    /// Whether the group is the user's own, or one of those that he is listed in.
    package static func isMember(_ uid: UInt32, of group: UInt32) -> Bool {
        groups(of: uid).contains(group)
    }

    /// His name, and the group that is his own.
    private static func user(_ uid: UInt32) -> (name: String, group: UInt32)? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        guard getpwuid_r(uid, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return (String(cString: entry.pw_name), entry.pw_gid)
    }

    private static func groups(of uid: UInt32) -> [UInt32] {
        guard let (name, gid) = user(uid) else { return [] }
        var count: CInt = 64
        var groups = [gid_t](repeating: 0, count: Int(count))
        if getgrouplist(name, gid, &groups, &count) < 0 {
            // It says how many there are; more than that nobody is in.
            guard (1...65_536).contains(count) else { return [] }
            groups = [gid_t](repeating: 0, count: Int(count))
            guard getgrouplist(name, gid, &groups, &count) >= 0 else { return [] }
        }
        return Array(groups.prefix(Int(count)))
    }
}
