import Glibc

/// Who may use the administration socket: root, the user that the broker runs as, and the members of a group.
struct SocketPermission: Sendable {
    var ownUID = geteuid()
    /// Nil where no group may.
    let members: GroupMembers?

    /// Whether the process may do something at this moment. By its own group, which it got from whoever started it, or by
    /// its user's groups, which are looked up anew: who leaves the group is out at his next request.
    func membership(of peer: SocketPeer) async -> GroupMembers.Membership {
        if peer.uid == 0 || peer.uid == ownUID { return .member }
        guard let members else { return .stranger }
        return peer.gid == members.group ? .member : await members.membership(of: peer.uid)
    }
}
