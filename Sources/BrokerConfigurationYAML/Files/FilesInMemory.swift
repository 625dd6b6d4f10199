internal import JOSE

/// Files that exist only here, for tests and for input that must not reach the disk.
package struct FilesInMemory: ConfigurationFiles {
    private let files: [ExactString: [UInt8]]

    /// - Parameter files: contents by path.
    package init(_ files: [String: [UInt8]]) {
        self.files = Dictionary(uniqueKeysWithValues: files.map { (ExactString($0), $1) })
    }

    package func contents(of path: String, limit: Int) throws(FileFailure) -> [UInt8] {
        guard let contents = files[ExactString(path)] else { throw .missing }
        guard contents.count <= limit else { throw .tooLarge }
        return contents
    }

    package func names(in folder: String) throws(FileFailure) -> [String] {
        let prefix = folder == "." ? "" : folder + "/"
        let names = files.keys.map(\.string).filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        guard !names.isEmpty else { throw .missing }
        return names.filter { !$0.contains("/") }
    }

    package func absolutePath(_ path: String) -> String {
        path.hasPrefix("/") ? path : "/\(path)"
    }
}
