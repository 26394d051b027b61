"""Programs over a page's DOM that know the right answers. For training only: the agent never sees one."""
