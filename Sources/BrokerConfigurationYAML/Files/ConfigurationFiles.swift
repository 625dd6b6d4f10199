/// Where the reader finds its files.
package protocol ConfigurationFiles: Sendable {
    /// - Throws: `.tooLarge` for more than `limit` bytes, without reading them all.
    func contents(of path: String, limit: Int) throws(FileFailure) -> [UInt8]
    /// The names of what is in a folder, in any order.
    func names(in folder: String) throws(FileFailure) -> [String]
    /// `path` from the root; a relative one starts at the process's folder.
    func absolutePath(_ path: String) -> String
}

package enum FileFailure: Error, Sendable, Equatable {
    case missing, notAFile, tooLarge
    /// By the operating system's error number.
    case unreadable(Int32)
}
