/// Paths as a configuration file writes them: relative to the folder of the file that holds them.
enum Paths {
    /// `path` as the process can open it.
    static func resolve(_ path: String, in file: String) -> String {
        let folder = folder(of: file)
        if path.hasPrefix("/") || folder == "." { return path }
        return folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
    }

    /// `.` for a bare name.
    static func folder(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func name(of path: String) -> String {
        path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[path.utf8.index(after: $0)...]) } ?? path
    }
}

extension YAMLNode {
    /// A path, resolved but perhaps still relative to the process's folder.
    func path(_ problems: Problems, expected: String) -> String? {
        guard let text = text(problems, expected: expected, limit: 1024) else { return nil }
        guard !text.hasPrefix("~"), !text.hasSuffix("/") else {
            return refused(problems, "expected \(expected), without ~ and without a slash at its end")
        }
        return Paths.resolve(text, in: place.file)
    }
}
