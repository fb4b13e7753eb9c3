"""nbgrader's settings for this course: run every `nbgrader` command in this folder."""

c = get_config()  # noqa: F821  (nbgrader defines it)

c.CourseDirectory.course_id = "cnn-workbook"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "labs"
c.CourseDirectory.submitted_directory = "submitted"
c.CourseDirectory.autograded_directory = "autograded"
c.CourseDirectory.feedback_directory = "feedback"
# The gradebook is nbgrader's default: gradebook.db in this folder.

# What stands in a lab where a solution was. Every check passes NotImplementedError through: "not solved yet".
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError()"}
c.ClearSolutions.text_stub = "YOUR ANSWER HERE"

# Seconds that one cell may take. A whole solution takes less than 90, so this is for a slow machine.
c.Execute.timeout = 120
