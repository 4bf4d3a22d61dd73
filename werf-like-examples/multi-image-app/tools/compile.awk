# Compiles a small Markdown to HTML: headings, lists, paragraphs.
function close_list() { if (list) { print "</ul>"; list = 0 } }
BEGIN { print "<!doctype html>\n<link rel=stylesheet href=/css/style.css>" }
/^# / { close_list(); print "<h1>" substr($0, 3) "</h1>"; next }
/^## / { close_list(); print "<h2>" substr($0, 4) "</h2>"; next }
/^- / { if (!list) { print "<ul>"; list = 1 } print "<li>" substr($0, 3) "</li>"; next }
/^$/ { close_list(); next }
# Everything else is a paragraph of one line.
{ close_list(); print "<p>" $0 "</p>" }
END { close_list() }
