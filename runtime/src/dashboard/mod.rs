pub struct Dashboard;
